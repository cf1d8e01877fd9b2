"""Watched folders, for scanners that only write files: each slide is claimed once it is whole, and gets a verdict.

>>> async for slide in watch(folder, rules, stop):
...     try:
...         await slide.done() if await analysed(slide.path) else await slide.failed("rejected", "no cells")
"""

from hema_stream.service.watch.claims import Claimed, Claims, WatchError
from hema_stream.service.watch.rules import WatchRules
from hema_stream.service.watch.stability import Stability
from hema_stream.service.watch.watching import watch

__all__ = ["Claimed", "Claims", "Stability", "WatchError", "WatchRules", "watch"]
