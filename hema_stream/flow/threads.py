"""A thread that can be given up: where its call hangs, nobody waits for it, the interpreter's end included."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import Any

from hema_stream.flow.invoke import as_failure

_Work = tuple[concurrent.futures.Future[Any], Callable[[], Any]]


class Thread(concurrent.futures.Executor):
    """Works on one call after another; started by the first.

    The standard library's pools are joined when the interpreter ends, which a call that hangs would hold up for ever.
    """

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self.busy_since: float | None = None

    def submit(self, function: Callable[..., Any], /, *args: Any, **named: Any) -> concurrent.futures.Future[Any]:
        """Enter a call; its future never carries what the loop would take for its own control flow."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._queue.put((future, partial(function, *args, **named)))
        if self._thread.ident is None:
            self._thread.start()
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Let the thread end after the calls that it has; nobody waits for it."""
        self._queue.put(None)

    def _serve(self) -> None:
        while (work := self._queue.get()) is not None:
            future, call = work
            if not future.set_running_or_notify_cancel():
                continue
            self.busy_since = monotonic()
            try:
                result = call()
            except BaseException as error:
                future.set_exception(as_failure(error))
            else:
                future.set_result(result)
                del result
            self.busy_since = None
            del work, future, call  # a buffer is not kept until the next one comes
