"""Reading pixels of a slide at any scale: plain images, tiled TIFF by index, and what OpenSlide reads."""

from hema_stages.readers.reader import Reader, open_reader

__all__ = ["Reader", "open_reader"]
