"""Reading pixels of a slide at any scale: plain images, tiled TIFF by index, and what OpenSlide reads."""

import logging

from hema_stages.readers.reader import Reader, open_reader

__all__ = ["Reader", "open_reader"]

# What it has to say of a file is ours to tell; without a handler Python writes its warnings to the terminal.
logging.getLogger("tifffile").addHandler(logging.NullHandler())
