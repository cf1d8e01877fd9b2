"""A slide made up for tests of the live protocol: deltas of its tally, and what they must lead to."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
from live_client import documented

from hema_stream.core.cells import CellTable
from hema_stream.core.configs import load_config
from hema_stream.core.crops import Labels
from hema_stream.core.delta import SlideDelta
from hema_stream.service.live import Change, Feed, LiveLimits, Outlines, Session

CLIENT = documented()
OUTCOMES = ("analysed", "background", "rejected", "gap", "cancelled")
NO_KEYS = np.zeros((0, 2), np.int32)


def limits(**changes: Any) -> LiveLimits:
    return LiveLimits(**{**load_config("service.yaml")["live"], **changes})


def cells_of(keys: list[tuple[int, int]], rng: np.random.Generator) -> CellTable:
    count = len(keys)
    array = np.array(keys, np.int32).reshape(-1, 2)
    corner = rng.uniform(0, 900, (count, 2))
    corners = rng.integers(0, 7, count)
    return CellTable(
        tile=array[:, 0],
        index=array[:, 1],
        kind=rng.integers(0, 3, count).astype(np.int8),
        score=rng.random(count, np.float32),
        boxes=np.concatenate([corner, corner + rng.uniform(1, 40, (count, 2))], axis=1),
        centroid=corner + 5,
        area=rng.uniform(1, 900, count).astype(np.float32),
        solidity=np.ones(count, np.float32),
        priority=rng.integers(0, 3, count).astype(np.int8),
        clump=rng.integers(0, 3, count).astype(np.int16),
        vertices=rng.integers(-9, 99, (corners.sum(), 2)).astype(np.int16),
        starts=np.concatenate([[0], np.cumsum(corners)]).astype(np.int64),
        scale=1.3,
    )


def labels_of(keys: list[tuple[int, int]], rng: np.random.Generator) -> Labels:
    probabilities = rng.random((len(keys), 5), np.float32)
    best = rng.integers(0, 5, len(keys)).astype(np.int16)
    return Labels("rbc", np.array(keys, np.int32).reshape(-1, 2), probabilities, best, rng.random(len(keys)) < 0.3)


class World:
    """Makes deltas as a tally does and keeps, in plain dictionaries, what a client must end with."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.seq = 0
        self.cells: dict[tuple[int, int], tuple[Any, ...]] = {}
        self.tiles: dict[int, int] = {}

    def delta(
        self,
        added: list[tuple[int, int]] = (),  # type: ignore[assignment]
        retracted: list[tuple[int, int]] = (),  # type: ignore[assignment]
        labelled: list[tuple[int, int]] = (),  # type: ignore[assignment]
        ended: dict[int, str] | None = None,
    ) -> SlideDelta:
        self.seq += 1
        table, labels = cells_of(list(added), self.rng), labels_of(list(labelled), self.rng)
        for key in retracted:
            self.cells.pop(key, None)
        for row, key in enumerate(added):
            box = tuple(np.round(table.boxes[row], 2).tolist())
            self.cells[key] = (int(table.kind[row]), -1, 0.0, False, box)
        confidence = np.round(labels.confidence.astype(np.float64), 4).tolist()
        for row, key in enumerate(labelled):
            if key in self.cells:
                kind, *_, box = self.cells[key]
                self.cells[key] = (kind, int(labels.best[row]), confidence[row], bool(labels.unknown[row]), box)
        self.tiles.update({tile: OUTCOMES.index(outcome) for tile, outcome in (ended or {}).items()})
        counts, progress = {"cells": len(self.cells)}, {"planned": 9, "analysed": len(self.tiles)}
        gone = np.array(list(retracted), np.int32).reshape(-1, 2)
        return SlideDelta("slide", self.seq, table, gone, (labels,), counts, progress, ended or {})


class Follower:
    """The documented client on a session, without sockets."""

    def __init__(self, feed: Feed, state: dict[str, Any] | None = None, now: float = 0.0) -> None:
        self.state: dict[str, Any] = state if state is not None else {"cells": {}, "tiles": {}, "seq": 0, "run": ""}
        resume = {"type": "resume", "run": self.state["run"], "seq": self.state["seq"]}
        self.session = Session(feed, now)
        self.messages: list[dict[str, Any]] = []
        self.take(now)
        self.say(resume, now)

    def say(self, message: dict[str, Any], now: float = 0.0) -> None:
        self.session.receive(msgpack.packb(message), now)

    def take(self, now: float = 0.0) -> None:
        while frame := self.session.next_frame(now):
            message = msgpack.unpackb(frame)
            self.messages.append(message)
            if message["type"] != "hello":
                CLIENT.apply(self.state, message)
            else:
                self.state["run"] = message["run"]

    def drain(self, now: float = 0.0) -> None:
        """Grant credit until nothing waits."""
        self.take(now)
        while self.session.credit < 1024:
            self.say({"type": "credit", "n": 1024}, now)
            self.take(now)

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.messages]


def feed_of(**changes: Any) -> Feed:
    return Feed("slide", "slide.png", "run-1", limits(**changes))


def publish(feed: Feed, delta: SlideDelta) -> None:
    feed.publish((Change.of(delta), Outlines.of(delta.added)))


def applied(state: dict[str, Any]) -> dict[tuple[int, int], tuple[Any, ...]]:
    """What a client has, in the report's units."""
    return {
        key: (kind, best, confidence / 10_000, bool(unknown), tuple(value / 100 for value in box))
        for key, (kind, best, confidence, unknown, box) in state["cells"].items()
    }
