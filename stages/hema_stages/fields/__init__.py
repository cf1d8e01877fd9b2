"""Slides that a scanner sends field by field: taken in, decoded, measured, and made into tiles."""
