"""One connection of a scanner, without socket or clock: frames in, frames out, and when to look again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hema_stream.service.ingest import messages
from hema_stream.service.ingest.messages import AbortSaid, CloseSaid, FieldSaid, Message, NotUnderstoodError
from hema_stream.service.ingest.push import Push, Refusal

NORMAL, POLICY, TOO_LARGE, RESTARTED, REPLACED = 1000, 1008, 1009, 1012, 4409
GIVEN_UP = {
    "replaced": ("another connection goes on with this scan", REPLACED),
    "restarted": ("the service or its pipeline is begun anew; connect again", RESTARTED),
}
"""Why a connection ends that did nothing wrong, and with which code."""


@dataclass(frozen=True)
class Close:
    """How a connection is closed."""

    code: int
    reason: str


class Session:
    """One connection to a push. A later one takes its place.

    A credit is granted when its message is written, so that a scanner that does not read is owed, not granted, and
    what waits for it is bounded by the window.

    Attributes:
        granted: fields that the scanner may send now.
        close: once it is time to close, how.
    """

    def __init__(self, push: Push, now: float, wake: Callable[[], None]) -> None:
        self._push, self._wake = push, wake
        self.granted = 0
        self.close: Close | None = None
        self._owed = push.room
        self._greeted = False
        self._accepted: list[int] = []
        self._repeated: list[int] = []
        self._notes: deque[Message] = deque()
        self._error: tuple[Message, Close] | None = None
        self._told: object = None
        self._tell = now
        self._beat = now + push.limits.heartbeat
        push.heard = now
        self._before = push.changed
        push.changed = self._changed
        self._before(None, "replaced")

    # What the scanner says.

    def receive(self, frame: bytes, now: float) -> None:
        """Take a frame."""
        self._push.heard = now
        if self._error is not None or self.close is not None:
            return
        try:
            said = messages.read(frame)
        except NotUnderstoodError as error:
            self.refuse("not_understood", str(error))
            return
        if isinstance(said, FieldSaid):
            self._field(said)
        elif isinstance(said, AbortSaid):
            self._push.abort()
        else:
            refusal = self._push.close(said) if isinstance(said, CloseSaid) else self._push.pass_by(said)
            if refusal is not None:
                self.refuse(refusal.code, refusal.message)
        self._wake()

    def refuse(self, code: str, message: str, closing: int = POLICY) -> None:
        """End the connection with an ``error`` message; the scan stays, and may be gone on with."""
        if self._error is None:
            self._error = {"type": "error", "code": code, "message": message}, Close(closing, code)
        self._wake()

    def leave(self) -> None:
        """The connection is gone."""
        if self._push.changed == self._changed:
            self._push.changed = _nobody

    # What it is told.

    def next_frame(self, now: float) -> bytes | None:
        """The next frame to write; None where there is none."""
        if self.close is not None:
            return None
        message = self._next(now)
        return None if message is None else messages.write(message)

    def due(self) -> float:
        """When to look again if nothing happens before."""
        return min(self._beat, self._tell)

    def _field(self, said: FieldSaid) -> None:
        if not self.granted:
            self.refuse("credit", "a field came without a credit")
            return
        self.granted -= 1
        verdict = self._push.field(said)
        if isinstance(verdict, Refusal):
            self._notes.append(
                {"type": "refused", "index": said.index, "code": verdict.code, "message": verdict.message}
            )
            self._owed += 1
        elif not verdict:
            self._repeated.append(said.index)
            self._owed += 1

    def _changed(self, index: int | None, verdict: str) -> None:
        """The push tells that a field has left, that the slide has ended, or that another connection took over."""
        if verdict in GIVEN_UP:
            self.refuse(verdict, *GIVEN_UP[verdict])
            return
        if verdict == "kept" and index is not None:
            self._accepted.append(index)
        elif index is not None:
            self._owed += 1
            if verdict == "not_kept":
                self._notes.append({"type": "refused", "index": index, "code": "disk", "message": "cannot be kept"})
            elif verdict == "unreadable":
                self._notes.append({"type": "lost", "index": index, "reason": verdict})
        self._wake()

    def _next(self, now: float) -> Message | None:
        if not self._greeted:
            self._greeted = True
            return self._hello()
        if self._accepted or self._repeated:
            message = {"type": "ack", "accepted": self._accepted, "repeated": self._repeated}
            self._accepted, self._repeated = [], []
            return message
        if self._notes:
            return self._notes.popleft()
        if self._error is not None:
            message, self.close = self._error
            return message
        if self._push.ended is not None:
            return self._end()
        if self._owed and not self._push.over:
            return self._credit()
        return self._counts(now)

    def _hello(self) -> Message:
        push = self._push
        return {
            "type": "hello",
            "protocol": messages.PROTOCOL,
            "slide": push.slide,
            "name": push.name,
            "window": push.scan.window,
            "received": messages.ranges(push.received),
            "watermark": push.watermark,
            "closed": push.taken is not None,
        }

    def _credit(self) -> Message:
        count, self._owed = self._owed, 0
        self.granted += count
        return {"type": "credit", "n": count}

    def _counts(self, now: float) -> Message | None:
        """Figures where they have changed, not too often; else a sign of life in its time."""
        limits = self._push.limits
        if now >= self._tell:
            self._tell = now + limits.interval
            counts, progress = self._push.figures()
            told = (dict(counts), dict(progress), len(self._push.received))
            if told != self._told:
                self._told, self._beat = told, now + limits.heartbeat
                return {
                    "type": "counts",
                    "counts": told[0],
                    "progress": told[1],
                    "received": told[2],
                    "enough": self._push.wanted.reached(counts),
                }
        if now >= self._beat:
            self._beat = now + limits.heartbeat
            return {"type": "heartbeat"}
        return None

    def _end(self) -> Message:
        ended = self._push.ended
        assert ended is not None
        self.close = Close(NORMAL, "the slide has ended")
        return {
            "type": "end",
            "status": ended.status,
            "url": ended.url,
            "sha256": ended.sha256,
            "counts": dict(ended.counts),
            "progress": dict(ended.progress),
        }


def _nobody(index: int | None, verdict: str) -> None:
    """Nobody is connected."""
