"""One client: what it said, and what it is sent next. No sockets, no clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hema_stream.service.live import messages
from hema_stream.service.live.change import Change
from hema_stream.service.live.feed import Feed
from hema_stream.service.live.mailbox import Mailbox
from hema_stream.service.live.snapshot import snapshot
from hema_stream.service.live.view import answer

NORMAL, POLICY, RESTARTED, OVERLOADED = 1000, 1008, 1012, 1013
Message = dict[str, Any]


@dataclass(frozen=True)
class Close:
    """Close the connection with this code, and why."""

    code: int
    reason: str


class Session:
    """Speaks hema.live.v1 with one client of a feed.

    Whoever does the I/O hands in frames with ``receive``, sends what ``next_frame`` gives until it gives nothing, then
    waits for ``wake`` or until ``due``, and closes once ``close`` says so.

    Args:
        now: seconds on any monotonic clock, as for every ``now`` here.
        wake: called when there may be something to send.
    """

    def __init__(self, feed: Feed, now: float, wake: Callable[[], None] = lambda: None) -> None:
        self._feed, self._limits, self._wake = feed, feed.limits, wake
        self.close: Close | None = None
        self.credit = self._limits.first_credit
        self._opened, self._beat = now, now + self._limits.heartbeat
        self._starved: float | None = None
        self._greeted = self._followed = self._image_sent = False
        self._classes_sent: object = None
        self._resumed: int | None = None
        self._mailbox = Mailbox(self._limits.mailbox)
        self._snapshot: Iterator[Message] | None = None
        self._snapshot_begun = False
        self._overtaken = 0
        self._view: Iterator[Message] | None = None
        self._refusal: tuple[Message, Close] | None = None
        feed.listeners.add(self)

    def leave(self) -> None:
        """Listen no more; the connection is gone."""
        self._feed.listeners.discard(self)

    # What the feed tells.

    def changed(self, change: Change) -> None:
        """Put a change into the mailbox, unless a snapshot that is yet to begin will show it."""
        if not self._followed or (self._snapshot is not None and not self._snapshot_begun):
            return
        if not self._mailbox.put(change):
            self._overflow()
        self._wake()

    def restated(self) -> None:
        """Show the new table by a snapshot."""
        self._view = None
        if self._followed:
            self._resumed = None
            self._begin_snapshot()
        self._wake()

    def noticed(self) -> None:
        """Look again: the feed's image or end has changed."""
        self._wake()

    # What the client says.

    def receive(self, frame: bytes, now: float) -> None:
        """Take a binary frame; one that is not understood ends the session."""
        try:
            said = messages.read(frame)
        except messages.NotUnderstoodError as error:
            self.refuse("not_understood", str(error))
            return
        if isinstance(said, messages.Resume):
            self._follow(said)
        elif isinstance(said, messages.Credit):
            self.credit = min(self.credit + said.n, self._limits.most_credit)
            self._starved = None
        elif self._followed:
            self._view = answer(self._feed.table, said, self._limits)
        else:
            self.refuse("out_of_turn", "resume comes first")
        self._wake()

    def refuse(self, code: str, message: str, closing: int = POLICY) -> None:
        """End the session with an ``error`` message."""
        self._refusal = {"type": "error", "code": code, "message": message}, Close(closing, code)
        self._wake()

    # What the client is sent.

    def next_frame(self, now: float) -> bytes | None:
        """The next frame that may be sent now; None where there is none."""
        self._watch(now)
        if self.close is not None:
            return None
        message: Message | bytes | None = self._free(now)
        if message is None and self._followed and self._refusal is None:
            message = self._next_charged(now)
        if message is None:
            return None
        return message if isinstance(message, bytes) else messages.write(message)

    def due(self, now: float) -> float:
        """When to look again if nothing happens before."""
        times = [self._beat]
        if self._starved is not None:
            times.append(self._starved + self._limits.patience)
        if not self._followed:
            times.append(self._opened + self._limits.greeting)
        return min(times)

    def _watch(self, now: float) -> None:
        """Close who is too slow, or said nothing."""
        if self._starved is not None and now - self._starved >= self._limits.patience:
            self.close = self.close or Close(OVERLOADED, "no credit")
        elif not self._followed and now - self._opened >= self._limits.greeting and self._refusal is None:
            self.refuse("out_of_turn", "resume did not come")
        if self._feed.given_up and self._refusal is None:
            self.refuse("restarted", "the slide is begun anew; connect again", RESTARTED)

    def _free(self, now: float) -> Message | None:
        """Messages that cost nothing."""
        if not self._greeted:
            self._greeted, self._classes_sent = True, messages.taxonomies(self._feed)
            return messages.hello(self._feed)
        if self._refusal is not None:
            message, self.close = self._refusal
            return message
        if now >= self._beat:
            self._beat = now + self._limits.heartbeat
            return {"type": "heartbeat", "seq": self._feed.table.seq}
        return None

    def _next_charged(self, now: float) -> Message | bytes | None:
        if not self._something_waits():
            return None
        if not self.credit:
            self._starved = now if self._starved is None else self._starved
            return None
        self.credit -= 1
        return self._take()

    def _something_waits(self) -> bool:
        image = self._feed.image is not None and not self._image_sent
        standing = self._resumed is not None or self._snapshot is not None or self._view is not None
        return image or self._classes_changed() or standing or bool(len(self._mailbox)) or self._feed.end is not None

    def _take(self) -> Message | bytes | None:
        """Take what waits, in the order in which a client can use it; only called where something does."""
        if self._feed.image is not None and not self._image_sent:
            self._image_sent = True
            return {"type": "image", **self._feed.image}
        if self._classes_changed():
            self._classes_sent = messages.taxonomies(self._feed)
            return messages.classes(self._feed)
        if self._resumed is not None:
            message, self._resumed = {"type": "resumed", "seq": self._resumed}, None
            return message
        if self._snapshot is not None:
            return self._take_snapshot(self._snapshot)
        if len(self._mailbox):
            return self._mailbox.take().frame
        if self._view is not None:
            return self._take_view(self._view)
        return self._take_end()

    def _classes_changed(self) -> bool:
        return self._classes_sent != messages.taxonomies(self._feed)

    def _take_snapshot(self, parts: Iterator[Message]) -> Message:
        self._snapshot_begun = True
        message = next(parts)
        if message["type"] == "snapshot_end":
            self._snapshot, self._snapshot_begun, self._overtaken = None, False, 0
        return message

    def _take_view(self, parts: Iterator[Message]) -> Message:
        message = next(parts)
        if not message["more"]:
            self._view = None
        return message

    def _take_end(self) -> Message:
        end = self._feed.end
        if end is None:
            raise RuntimeError("a message was asked for while nothing waited")
        self.close = Close(NORMAL, "the slide has ended")
        return messages.ending(end, self._feed.table.seq)

    def _follow(self, said: messages.Resume) -> None:
        if self._followed:
            self.refuse("out_of_turn", "resume comes once")
            return
        self._followed = True
        if self._feed.hollow:
            return
        missed = self._feed.ring.after(said.seq) if said.run == self._feed.run else None
        if missed is None:
            self._begin_snapshot()
            return
        self._resumed = said.seq
        for change in missed:
            if not self._mailbox.put(change):
                self._resumed = None
                self._begin_snapshot()
                return

    def _begin_snapshot(self) -> None:
        self._mailbox.clear()
        self._snapshot, self._snapshot_begun = snapshot(self._feed.table, self._limits.part), False

    def _overflow(self) -> None:
        """Let a snapshot fall due; give up on a client that three in a row did not help."""
        if self._snapshot_begun:
            self._overtaken += 1
        if self._overtaken >= self._limits.snapshots:
            self.close = Close(OVERLOADED, "too slow")
        self._resumed = None
        self._begin_snapshot()
