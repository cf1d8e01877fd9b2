"""Outlines and density of what can be seen."""

from __future__ import annotations

import numpy as np
from live_world import Follower, World, feed_of, publish

from hema_stream.core.delta import SlideDelta

ALL = [-10.0, -10.0, 2000.0, 2000.0]


def followed(count: int = 300, **changes: object) -> tuple[Follower, World, SlideDelta]:
    feed, world = feed_of(**changes), World()
    delta = world.delta(added=[(0, number) for number in range(count)])
    publish(feed, delta)
    follower = Follower(feed)
    follower.drain()
    return follower, world, delta


def contours(follower: Follower, **view: object) -> dict[tuple[int, int], list[list[float]]]:
    """Outlines by key, relative to the boxes' corners, level-0 pixels."""
    follower.messages.clear()
    follower.say({"type": "view", "view": 7, "box": ALL, "level": 0, **view})
    follower.drain()
    found: dict[tuple[int, int], list[list[float]]] = {}
    for number, message in enumerate(follower.messages, 1):
        assert message["type"] == "contours"
        assert message["view"] == 7
        assert message["more"] is (number < len(follower.messages))
        keys = np.frombuffer(message["keys"], "<i4").reshape(-1, 2).tolist()
        starts = np.frombuffer(message["starts"], "<u4")
        vertices = np.frombuffer(message["vertices"], "<i2").reshape(-1, 2) * message["unit"]
        assert len(starts) == message["n"] + 1
        for row, key in enumerate(keys):
            found[tuple(key)] = vertices[starts[row] : starts[row + 1]].tolist()
    return found


def expected(delta: SlideDelta) -> dict[tuple[int, int], list[list[float]]]:
    cells = delta.added
    return {
        tuple(key): (cells.polygon(row) - cells.boxes[row, :2]).tolist() for row, key in enumerate(cells.keys.tolist())
    }


def assert_alike(found: dict, wanted: dict) -> None:
    assert found.keys() == wanted.keys()
    for key, outline in found.items():
        np.testing.assert_allclose(np.reshape(outline, (-1, 2)), np.reshape(wanted[key], (-1, 2)), atol=1e-9)


def test_outlines_come_in_parts_within_the_limit() -> None:
    follower, _, delta = followed(part=2000)
    assert_alike(contours(follower), expected(delta))
    assert len(follower.messages) > 3
    assert all(len(m["keys"]) + len(m["starts"]) + len(m["vertices"]) < 2000 for m in follower.messages)


def test_only_what_meets_the_box_comes() -> None:
    follower, _, delta = followed()
    found = contours(follower, box=[100.0, 100.0, 300.0, 300.0])
    boxes = delta.added.boxes
    meets = (boxes[:, :2] <= 300).all(axis=1) & (boxes[:, 2:] >= 100).all(axis=1)
    assert found.keys() == set(map(tuple, delta.added.keys[meets].tolist()))


def test_nothing_in_view_is_answered() -> None:
    follower, _, _ = followed()
    assert contours(follower, box=[5000.0, 5000.0, 6000.0, 6000.0]) == {}
    assert len(follower.messages) == 1


def test_since_gives_only_what_was_added_after() -> None:
    follower, world, _ = followed()
    more = world.delta(added=[(1, 1), (0, 5)])
    publish(follower.session._feed, more)
    follower.drain()
    assert_alike(contours(follower, since=1), expected(more))


def test_outlines_are_right_after_much_has_come_and_gone() -> None:
    follower, world, _ = followed(3000)
    feed = follower.session._feed
    for _ in range(6):
        publish(feed, world.delta(retracted=[(0, n) for n in range(1500)]))
        last = world.delta(added=[(0, n) for n in range(1500)])
        publish(feed, last)
    publish(feed, world.delta(retracted=[(0, n) for n in range(1500, 3000)]))
    follower.drain()
    assert_alike(contours(follower), expected(last))
    assert feed.table._vertices_used < 3 * len(last.added.vertices)


def test_a_retraction_between_parts_leaves_its_outline_out() -> None:
    follower, world, _ = followed(part=2000)
    follower.session.credit = 1
    follower.say({"type": "view", "view": 7, "box": ALL, "level": 0})
    follower.take()
    publish(follower.session._feed, world.delta(retracted=[(0, 299)]))
    follower.drain()
    parts = [m for m in follower.messages if m["type"] == "contours"]
    keys = np.concatenate([np.frombuffer(m["keys"], "<i4").reshape(-1, 2) for m in parts])
    assert len(keys) == 299
    assert [0, 299] not in keys.tolist()


def test_too_many_cells_come_as_density() -> None:
    follower, _, delta = followed(view_cells=100, density_side=8)
    follower.messages.clear()
    follower.say({"type": "view", "view": 8, "box": ALL, "level": 0})
    follower.drain()
    (message,) = follower.messages
    assert message["type"] == "density"
    assert max(message["columns"], message["rows"]) <= 8
    assert message["bin"] == 32 * 2 ** message["level"]
    counts = np.frombuffer(message["counts"], "<u4").reshape(3, message["rows"], message["columns"])
    assert counts.sum(axis=(1, 2)).tolist() == np.bincount(delta.added.kind, minlength=3).tolist()
    x, y = ((delta.added.centroid - [message["x"], message["y"]]) // message["bin"]).astype(int).T
    wanted = np.zeros_like(counts)
    np.add.at(wanted, (delta.added.kind, y, x), 1)
    assert (np.abs(counts.astype(int) - wanted) <= 1).all()


def test_only_the_newest_view_is_answered() -> None:
    follower, _, _ = followed()
    follower.messages.clear()
    follower.say({"type": "view", "view": 1, "box": ALL, "level": 0})
    follower.say({"type": "view", "view": 2, "box": ALL, "level": 0})
    follower.drain()
    assert {message["view"] for message in follower.messages} == {2}
