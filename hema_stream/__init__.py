"""hema-stream: every cell on a stained blood smear, found, classified, counted once, shown while the slide runs."""

__version__ = "0.1.0"
