"""The scanner's side of hema.ingest.v1: sends a course of fields as credits allow, through cut lines, to its end."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import aiohttp
import msgpack

from hema_stream.cli.scan.faults import Course
from hema_stream.cli.scan.picture import Cut
from hema_stream.core.errors import HemaError

PROTOCOL = "hema.ingest.v1"
TRIES, PAUSE, UNAVAILABLE = 20, 0.25, 503
STRIDE = 4
"""Fields by which a watermark has risen before it is told."""


class ScanError(HemaError):
    """The service does not take the scan, or cannot be reached."""

    code = "scan"


@dataclass
class Told:
    """What was sent and what came of it.

    Attributes:
        sent: fields that went out, repeats included; accepted: numbers that were acknowledged.
        repeated: acknowledged as known already; refused: codes by number; unreadable: numbers.
        cuts: lines that were cut; waited: seconds without a credit while a field was due; seconds: the whole scan.
        end: the service's last message; first_cells: seconds from the first field to the first cells that were told.
    """

    sent: int = 0
    accepted: set[int] = field(default_factory=set)
    repeated: int = 0
    refused: dict[int, str] = field(default_factory=dict)
    unreadable: list[int] = field(default_factory=list)
    cuts: int = 0
    waited: float = 0.0
    seconds: float = 0.0
    slide: str = ""
    enough: bool = False
    first_cells: float | None = None
    end: dict[str, Any] = field(default_factory=dict)


class Scanner:
    """Plays one course.

    Args:
        session: with the service's address and the token.
        take: makes the message of a field.
        interval: seconds between two fields; 0 sends as credits come.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        cut: Cut,
        course: Course,
        take: Callable[[int], dict[str, Any]],
        interval: float = 0.0,
    ) -> None:
        self._session, self._cut, self._course = session, cut, course
        self._take, self._interval = take, interval
        self._todo = deque(course.sends)
        self._cuts = deque(course.cuts)
        self._unanswered: deque[int] = deque()
        self._credit, self._watermark, self._row = 0, -1, 0
        self._next = self._begun = monotonic()
        self._gridded = True
        self._moved = asyncio.Event()
        self.told = Told()

    async def scan(self, name: str, gridded: bool = True) -> Told:
        """Open a slide, send its fields, close it, and wait for its end.

        Raises:
            ScanError: the service refuses, or cannot be reached.
        """
        self._gridded = gridded
        url = await self._open(self._cut.opening(name, gridded))
        self._next = self._begun = monotonic()
        failures = 0
        while not self.told.end:
            try:
                async with self._session.ws_connect(url, protocols=(PROTOCOL,), max_msg_size=0) as line:
                    failures = 0
                    await self._speak(line)
            except aiohttp.WSServerHandshakeError as error:
                if error.status == UNAVAILABLE:  # what it has of the scan is being gone through again
                    await asyncio.sleep(PAUSE)
                    continue
                raise ScanError(f"the service answered {error.status}", place=url, remedy="see its log") from error
            except (aiohttp.ClientError, ConnectionError) as error:
                failures += 1
                if failures >= TRIES:
                    raise ScanError(f"cannot be reached: {error}", place=url, remedy="is it running?") from error
                await asyncio.sleep(PAUSE)
        self.told.seconds = monotonic() - self._begun
        return self.told

    async def _open(self, body: dict[str, Any]) -> str:
        try:
            async with self._session.post("/api/v1/ingest", json=body) as answer:
                document = await answer.json(content_type=None)
                if answer.status != 201:
                    raise ScanError(f"{document['code']}: {document['detail']}", place=str(answer.url))
        except (aiohttp.ClientError, ValueError) as error:
            raise ScanError(str(error), place="/api/v1/ingest", remedy="check --url and --token") from error
        self.told.slide = document["slide"]
        return str(document["url"])

    async def _speak(self, line: aiohttp.ClientWebSocketResponse) -> None:
        """Send on one line until it breaks or the slide has ended."""
        self._credit = 0
        sending: asyncio.Task[None] | None = None
        try:
            async for frame in line:
                message = msgpack.unpackb(frame.data)
                if message["type"] == "hello":
                    self._go_on(message)
                    sending = asyncio.create_task(self._send(line))
                self._hear(message)
                self._moved.set()
        except asyncio.CancelledError:
            with suppress(Exception):
                await line.send_bytes(msgpack.packb({"type": "abort", "reason": "interrupted"}))
            raise
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    def _go_on(self, hello: dict[str, Any]) -> None:
        """Send again what was on the line when it broke and did not arrive."""
        received = {index for first, last in hello["received"] for index in range(first, last + 1)}
        again = [i for i in dict.fromkeys(self._unanswered) if i not in received and i not in self.told.refused]
        self.told.accepted |= received
        self._unanswered.clear()
        self._todo.extendleft(reversed(again))
        self._watermark = hello["watermark"]

    def _hear(self, message: dict[str, Any]) -> None:
        told = self.told
        match message["type"]:
            case "credit":
                self._credit += message["n"]
            case "ack":
                told.accepted.update(message["accepted"])
                told.repeated += len(message["repeated"])
                self._answered([*message["accepted"], *message["repeated"]])
            case "refused":
                self._answered([message["index"]])
                if message["code"] == "checksum":
                    self._todo.appendleft(message["index"])
                else:
                    told.refused[message["index"]] = message["code"]
            case "lost":
                told.unreadable.append(message["index"])
            case "counts":
                told.enough = message["enough"]
                if told.first_cells is None and message["counts"].get("cells"):
                    told.first_cells = monotonic() - self._begun
            case "end":
                told.end = message
            case "error" if message["code"] != "restarted":
                raise ScanError(f"{message['code']}: {message['message']}", place=told.slide)

    def _answered(self, indices: list[int]) -> None:
        for index in indices:
            with suppress(ValueError):
                self._unanswered.remove(index)

    async def _send(self, line: aiohttp.ClientWebSocketResponse) -> None:
        """Send what is due while there is credit; then close the scan."""
        while self._todo:
            await asyncio.sleep(max(self._next - monotonic(), 0.0))
            since = monotonic()
            while not self._credit:
                self._moved.clear()
                await self._moved.wait()
            self.told.waited += monotonic() - since
            index = self._todo.popleft()
            self._credit -= 1
            self._unanswered.append(index)
            self.told.sent += 1
            await line.send_bytes(msgpack.packb(await asyncio.to_thread(self._take, index)))
            self._next = max(self._next + self._interval, monotonic() - self._interval)
            if self._cuts and self.told.sent >= self._cuts[0]:
                self._cuts.popleft()
                self._break(line)
                return None
            await self._tell_watermark(line)
        while self._unanswered:
            self._moved.clear()
            await self._moved.wait()
            if self._todo:
                return await self._send(line)
        await line.send_bytes(msgpack.packb({"type": "close", "fields": len(self._cut)}))
        return None

    def _break(self, line: aiohttp.ClientWebSocketResponse) -> None:
        """Cut the line as a pulled cable does: nobody says goodbye."""
        self.told.cuts += 1
        end: socket.socket = line.get_extra_info("socket")
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)

    async def _tell_watermark(self, line: aiohttp.ClientWebSocketResponse) -> None:
        """Tell what will not come again; without a grid also which rows are done."""
        lowest = min((*self._todo, *self._unanswered), default=len(self._cut)) - 1
        row = (lowest + 1) // self._cut.columns
        if lowest < self._watermark + STRIDE and row == self._row:
            return
        message: dict[str, Any] = {"type": "watermark", "index": lowest}
        if not self._gridded and row > self._row and row < self._cut.rows:
            message["sealed"] = [0.0, 0.0, self._cut.extent()[0], row * self._cut.step_y * self._cut.mpp]
        self._watermark, self._row = lowest, row
        await line.send_bytes(msgpack.packb(message))
