"""Whatever a client gets, late, coalesced, cut off or anew: it ends with what the table holds."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_world import OUTCOMES, Follower, World, applied, feed_of, publish

KEYS = st.tuples(st.integers(0, 3), st.integers(0, 9))
STEP = st.one_of(
    st.tuples(
        st.just("change"),
        st.lists(KEYS, max_size=12, unique=True),
        st.lists(KEYS, max_size=12, unique=True),
        st.lists(KEYS, max_size=12, unique=True),
        st.dictionaries(st.integers(0, 8), st.sampled_from(OUTCOMES), max_size=2),
    ),
    st.tuples(st.just("credit"), st.integers(0, 2), st.integers(1, 6)),
    st.tuples(st.just("reconnect"), st.integers(0, 2)),
)


class Clients:
    """Three clients, as greedy or slow as the steps say."""

    def __init__(self, feed: Any) -> None:
        self.feed = feed
        self.followers = [Follower(feed) for _ in range(3)]

    def credit(self, number: int, count: int) -> None:
        self.followers[number].say({"type": "credit", "n": count})
        self.followers[number].take()

    def reconnect(self, number: int) -> None:
        old = self.followers[number]
        old.session.leave()
        self.followers[number] = Follower(self.feed, old.state)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEP, max_size=40), mailbox=st.sampled_from([1500, 6000, 1 << 22]), part=st.integers(600, 3000))
def test_every_client_ends_with_the_table(steps: list[Any], mailbox: int, part: int) -> None:
    feed = feed_of(mailbox=mailbox, part=part, ring=12_000, first_credit=3, snapshots=10_000)
    world, clients = World(), Clients(feed)
    for kind, *args in steps:
        if kind == "change":
            added, retracted, labelled, ended = args
            publish(feed, world.delta(added, [key for key in retracted if key not in added], labelled, ended))
        else:
            getattr(clients, kind)(*args)
    assert feed.table.seq == world.seq
    for follower in clients.followers:
        follower.drain()
        assert follower.session.close is None
        assert applied(follower.state) == world.cells
        assert follower.state["tiles"] == world.tiles
        assert follower.state["seq"] == world.seq
        if world.seq:
            assert follower.state["counts"] == {"cells": len(world.cells)}
        for before, after in zip(follower.messages, follower.messages[1:], strict=False):
            if after["type"] == "delta":
                assert after["first"] == before.get("last", before.get("seq")) + 1
