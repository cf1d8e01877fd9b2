"""Shipped weights, their cards, and how state dicts are read and written."""
