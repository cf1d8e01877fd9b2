"""The beat of a feed: what goes out together, when, and that nobody ends elsewhere for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_world import Follower, World, applied, limits

from hema_stream.service.live import Change, Outlines, PacedFeed


class Clock:
    """Time that passes when it is told to; at most one thing is due."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: tuple[float, Callable[[], None]] | None = None

    def later(self, wait: float, call: Callable[[], None]) -> Clock:
        assert self.due is None
        self.due = self.now + wait, call
        return self

    def cancel(self) -> None:
        self.due = None

    def to(self, now: float) -> None:
        if self.due and self.due[0] <= now:
            self.now, call = self.due
            call()
        self.now = now


def feed(clock: Clock, beat: float = 0.1, most: float = 0.4) -> PacedFeed:
    made = limits(beat=beat, most_beat=most)
    return PacedFeed("slide", "slide.png", "run", made, lambda: clock.now, clock.later)


def put(paced: PacedFeed, world: World, *keys: tuple[int, int]) -> None:
    delta = world.delta(added=list(keys), labelled=list(keys))
    paced.put(Change.of(delta), Outlines.of(delta.added))


def spans(follower: Follower) -> list[tuple[int, int]]:
    return [(m["first"], m["last"]) for m in follower.messages if m["type"] == "delta"]


def test_without_clients_nothing_is_held_back() -> None:
    clock, world = Clock(), World()
    paced = feed(clock)
    for number in range(3):
        put(paced, world, (0, number))
        assert paced.table.seq == number + 1


def test_the_first_goes_at_once_and_those_of_a_beat_together() -> None:
    clock, world = Clock(), World()
    paced = feed(clock)
    followers = [Follower(paced) for _ in range(2)]  # a beat of 0.2 s
    for follower in followers:
        follower.drain()
    seen = []
    for step, moment in enumerate((1.0, 1.05, 1.1, 1.15, 1.3, 1.9)):
        clock.to(moment)
        followers[0].drain()
        put(paced, world, (0, step))
        for follower in followers:
            follower.drain()
        seen.append(spans(followers[0]))
    assert seen[0] == [(1, 1)]
    assert seen[3] == [(1, 1)]
    assert seen[4] == [(1, 1), (2, 4)]
    assert seen[5] == [(1, 1), (2, 4), (5, 5), (6, 6)]
    assert applied(followers[1].state) == world.cells


def test_the_beat_has_an_end() -> None:
    clock = Clock()
    paced = feed(clock, beat=0.1, most=0.4)
    assert paced.beat == 0.0
    for _ in range(9):
        Follower(paced)
    assert paced.beat == pytest.approx(0.4)


def test_an_end_waits_for_no_beat() -> None:
    clock, world = Clock(), World()
    paced = feed(clock)
    follower = Follower(paced)
    put(paced, world, (0, 0))
    put(paced, world, (0, 1))
    assert paced.table.seq == 1
    paced.flush()
    follower.drain()
    assert clock.due is None
    assert applied(follower.state) == world.cells


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "wait", "join", "drain"]), st.integers(0, 20), st.floats(0, 0.5)), max_size=30
    )
)
def test_everybody_ends_with_the_same_whatever_was_gathered(steps: list[tuple[str, int, float]]) -> None:
    clock, world = Clock(), World()
    paced = feed(clock)
    followers = [Follower(paced)]
    for what, number, wait in steps:
        if what == "put":
            known = list(world.cells)[:number]
            delta = world.delta(added=[(number, 0), (number, 1)], retracted=known[:2], labelled=known[2:])
            paced.put(Change.of(delta), Outlines.of(delta.added))
        elif what == "wait":
            clock.to(clock.now + wait)
        elif what == "join":
            followers.append(Follower(paced))
        else:
            followers[number % len(followers)].drain()
    paced.flush()
    for follower in followers:
        follower.drain()
        assert applied(follower.state) == world.cells
        assert follower.state["seq"] == world.seq
