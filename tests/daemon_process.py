"""A daemon in a process of its own, over the stand-in for its folders' source.

``python daemon_process.py CONFIG [pretend] [hang]``: over a pipeline that pretends, and one whose stop never returns.
Everything else is as ``hema-stream daemon`` does it.
"""

from __future__ import annotations

import sys
import time

import stand_in

from hema_stream.cli import daemon
from hema_stream.service import warm
from hema_stream.service.daemon import source

if __name__ == "__main__":
    source.folder_watch = lambda: stand_in.watch  # type: ignore[assignment, return-value]
    if "pretend" in sys.argv[2:]:
        import pretend

        warm.build_pipeline = pretend.build
    if "hang" in sys.argv[2:]:
        warm.WarmPipeline.stop = lambda *_: time.sleep(60)  # type: ignore[assignment, method-assign]
    daemon.command(["--config", sys.argv[1]])
