"""Cells counted once: exact non-maximum suppression over overlapping tiles, as they arrive or all at once.

>>> from hema_stages.aggregate import IncrementalNMS, batch_nms
"""

from hema_stages.aggregate.incremental import Delta, IncrementalNMS
from hema_stages.aggregate.nms import batch_nms

__all__ = ["Delta", "IncrementalNMS", "batch_nms"]
