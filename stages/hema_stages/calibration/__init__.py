"""Measurements of a slide: scale, stain, focus, foreground. Pure functions on sampled pixels."""
