"""One client: greeting, credit, snapshots, resume, heartbeats, its end."""

from __future__ import annotations

import msgpack
import pytest
from live_world import Follower, World, applied, feed_of, publish

from hema_stream.core.naming import Naming
from hema_stream.core.taxonomy import CellClass, load_taxonomy
from hema_stream.service.live import Change, Close, End, Feed, Outlines, Session

HUNDRED = [(0, number) for number in range(100)]


def started(**changes: object) -> tuple[Feed, World]:
    feed, world = feed_of(**changes), World()
    publish(feed, world.delta(added=HUNDRED, ended={0: "analysed"}))
    return feed, world


def test_the_first_message_is_hello_and_nothing_follows_before_resume() -> None:
    feed, _ = started()
    session = Session(feed, 0.0)
    hello = msgpack.unpackb(session.next_frame(0.0) or b"")
    assert (hello["type"], hello["seq"], hello["run"]) == ("hello", 1, "run-1")
    assert hello["classes"]["wbc"][0].keys() == {"name", "title", "colour", "abnormal"}
    assert session.next_frame(0.0) is None
    assert session.credit == 16


def test_a_client_that_says_nothing_is_sent_away() -> None:
    feed, _ = started()
    session = Session(feed, 0.0)
    session.next_frame(0.0)
    assert session.due(0.0) <= 10.0
    while frame := session.next_frame(10.0):
        last = msgpack.unpackb(frame)
    assert last["type"] == "error"
    assert session.close == Close(1008, "out_of_turn")


def test_each_message_costs_a_credit_but_heartbeats() -> None:
    feed, world = started(first_credit=4)
    follower = Follower(feed)
    follower.take()
    assert follower.kinds() == ["hello", "snapshot_begin", "snapshot_part", "snapshot_part", "snapshot_end"]
    publish(feed, world.delta(labelled=HUNDRED[:5]))
    follower.take(4.9)
    assert follower.session.credit == 0
    follower.take(5.0)
    assert follower.messages[-1] == {"type": "heartbeat", "seq": 2}
    follower.say({"type": "credit", "n": 1}, 5.0)
    follower.take(5.0)
    assert follower.kinds()[-1] == "delta"
    follower.take(10.0)
    assert follower.kinds()[-1] == "heartbeat"


def test_what_waits_without_credit_comes_as_one_delta() -> None:
    feed, world = started(first_credit=4)
    follower = Follower(feed)
    follower.take()
    for number in range(5):
        publish(feed, world.delta(added=[(1, number)], retracted=[(0, number)], labelled=[(1, number)]))
    follower.say({"type": "credit", "n": 9})
    follower.take()
    delta = follower.messages[-1]
    assert (delta["first"], delta["last"], delta["added"]["n"], delta["labelled"]["n"]) == (2, 6, 5, 0)
    assert applied(follower.state) == world.cells


def test_credit_is_held_up_to_the_limit() -> None:
    feed, _ = started()
    follower = Follower(feed)
    for _ in range(3):
        follower.say({"type": "credit", "n": 1024})
    assert follower.session.credit == 1024


def test_a_client_without_credit_is_closed_after_its_time() -> None:
    feed, _ = started(first_credit=2)
    follower = Follower(feed, now=0.0)
    follower.take(1.0)
    assert follower.session.due(2.0) <= 5.0
    follower.take(30.9)
    assert follower.session.close is None
    follower.take(31.0)
    assert follower.session.close == Close(1013, "no credit")


def test_a_client_without_credit_for_which_nothing_waits_may_stay() -> None:
    feed, _ = started(first_credit=4)
    follower = Follower(feed)
    for now in range(0, 120, 5):
        follower.take(float(now))
    assert follower.session.credit == 0
    assert follower.session.close is None


def test_three_snapshots_overtaken_in_a_row_are_the_last() -> None:
    feed, world = started(mailbox=4000, first_credit=1)
    follower = Follower(feed)
    for _ in range(3):
        assert follower.session.close is None
        follower.say({"type": "credit", "n": 1})
        follower.take()
        publish(feed, world.delta(added=HUNDRED))
    assert follower.session.close == Close(1013, "too slow")


def test_a_snapshot_that_arrives_makes_good() -> None:
    feed, world = started(mailbox=4000, first_credit=1)
    follower = Follower(feed)
    for _ in range(5):
        follower.session.credit = 1
        follower.take()
        assert follower.kinds()[-1] == "snapshot_begin"
        publish(feed, world.delta(added=HUNDRED))
        follower.drain()
        follower.session.credit = 0
        publish(feed, world.delta(added=HUNDRED))
    follower.drain()
    assert follower.session.close is None
    assert applied(follower.state) == world.cells


def test_what_waited_before_the_table_was_begun_anew_is_not_sent() -> None:
    feed, world = started()
    follower = Follower(feed)
    follower.drain()
    publish(feed, world.delta(added=[(8, 8)]))
    whole = World().delta(added=HUNDRED[:4])
    feed.restate(Change.of(whole), Outlines.of(whole.added))
    follower.drain()
    assert set(follower.state["cells"]) == set(HUNDRED[:4])
    assert follower.state["seq"] == feed.table.seq == 3
    assert follower.state["tiles"] == {0: 0}


def test_resume_is_answered_from_the_ring() -> None:
    feed, world = started()
    first = Follower(feed)
    first.drain()
    first.session.leave()
    publish(feed, world.delta(retracted=HUNDRED[:3], labelled=HUNDRED[3:6]))
    publish(feed, world.delta(added=[(2, 2)]))
    second = Follower(feed, first.state)
    second.drain()
    assert second.kinds() == ["hello", "resumed", "delta"]
    assert applied(second.state) == world.cells


@pytest.mark.parametrize(("run", "ring"), [("run-0", 1 << 26), ("run-1", 1)])
def test_resume_past_the_ring_or_of_another_run_is_answered_by_a_snapshot(run: str, ring: int) -> None:
    feed, world = started(ring=ring)
    publish(feed, world.delta(added=[(2, 2)]))
    follower = Follower(feed, {"cells": {(9, 9): (0, 0, 0, 0, (0, 0, 0, 0))}, "tiles": {}, "seq": 1, "run": run})
    follower.drain()
    assert follower.kinds()[1] == "snapshot_begin"
    assert applied(follower.state) == world.cells


def test_the_image_comes_once_it_is_known() -> None:
    feed = feed_of()
    follower = Follower(feed)
    follower.take()
    feed.open({"width": 9, "height": 8})
    follower.take()
    follower.take()
    assert follower.kinds() == ["hello", "snapshot_begin", "snapshot_end", "image"]
    assert follower.messages[-1]["width"] == 9


def test_the_end_comes_last_and_closes() -> None:
    feed, _ = started(first_credit=4)
    follower = Follower(feed)
    feed.close(End("done", "/report", "ab", {"cells": 100}, {"analysed": 1}))
    follower.take()
    assert follower.kinds()[-1] == "snapshot_end"
    follower.drain()
    assert follower.messages[-1]["type"] == "end"
    assert follower.state["counts"] == {"cells": 100}
    assert follower.session.close == Close(1000, "the slide has ended")


def test_a_slide_that_is_no_longer_held_is_told_by_its_end_alone() -> None:
    feed = feed_of()
    feed.hollow = True
    feed.close(End("done", "/report", "ab"))
    follower = Follower(feed)
    follower.take()
    assert follower.kinds() == ["hello", "end"]


def test_a_slide_begun_anew_sends_its_clients_away() -> None:
    feed, _ = started()
    follower = Follower(feed)
    follower.drain()
    feed.give_up()
    follower.take()
    assert follower.messages[-1]["code"] == "restarted"
    assert follower.session.close == Close(1012, "restarted")


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff" * 64,
        b"\x91" * 2000,
        msgpack.packb([1]),
        msgpack.packb({"type": "fly"}),
        msgpack.packb({"type": "credit", "n": 0}),
        msgpack.packb({"type": "credit", "n": 1025}),
        msgpack.packb({"type": "credit", "n": True}),
        msgpack.packb({"type": "credit", "n": 1, "m": 1}),
        msgpack.packb({"type": "resume", "run": "run-1", "seq": 0}),
        msgpack.packb({"type": "view", "view": 1, "box": [0, 0, float("nan"), 1], "level": 0}),
        msgpack.packb({"type": "view", "view": 1, "box": [0, 0, 1], "level": 0}),
        msgpack.packb({"type": "view", "view": 1, "box": [0, 0, 1, 1], "level": 25}),
    ],
)
def test_what_is_not_understood_ends_the_session(frame: bytes) -> None:
    feed, _ = started()
    follower = Follower(feed)
    follower.session.receive(frame, 0.0)
    follower.take()
    assert follower.messages[-1]["type"] == "error"
    assert follower.session.close is not None
    assert follower.session.close.code == 1008


def test_a_client_that_left_is_told_nothing() -> None:
    feed, world = started()
    follower = Follower(feed)
    follower.drain()
    follower.session.leave()
    publish(feed, world.delta(added=[(4, 4)]))
    follower.take()
    assert "delta" not in follower.kinds()


def test_messages_are_packed_once_for_all() -> None:
    feed, world = started()
    followers = [Follower(feed) for _ in range(2)]
    for follower in followers:
        follower.drain()
    publish(feed, world.delta(added=[(4, 4)]))
    first, second = (follower.session.next_frame(0.0) for follower in followers)
    assert first is second


def test_a_sites_own_classes_are_told_before_their_labels() -> None:
    feed, world = started()
    follower = Follower(feed)
    follower.drain()
    shipped = load_taxonomy("rbc")
    hairy = CellClass.of_site("acanthocyte", "Acanthocyte", "#112233")
    feed.name_by(Naming({"rbc": shipped.extended([hairy])}))
    publish(feed, world.delta(labelled=[(0, 0)]))
    follower.drain()
    late = Follower(feed)
    late.drain()
    assert follower.kinds()[-2:] == ["classes", "delta"]
    assert follower.state["classes"]["rbc"][-1] == {
        "name": "acanthocyte",
        "title": "Acanthocyte",
        "colour": [17, 34, 51],
        "abnormal": True,
    }
    assert late.messages[0]["classes"] == follower.state["classes"]
    assert "classes" not in late.kinds()


def test_names_of_the_shipped_classes_are_not_told_twice() -> None:
    feed, world = started()
    follower = Follower(feed)
    feed.name_by(Naming({"rbc": load_taxonomy("rbc")}, {"rbc": {}}))
    publish(feed, world.delta(labelled=[(0, 0)]))
    follower.drain()
    assert "classes" not in follower.kinds()
