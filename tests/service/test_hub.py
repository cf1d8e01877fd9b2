"""The hub: fed from the stage's thread, followed on the loop, and bounded."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from live_world import Follower, World, applied, limits
from smear import calibration, mixed, slide

from hema_stream.core.naming import Naming
from hema_stream.core.rates import ClassRates, Rate
from hema_stream.core.tile import TilePlan
from hema_stream.service.hub import LiveHub, image_message
from hema_stream.service.live import End


@pytest.fixture
async def hub() -> LiveHub:
    return LiveHub(limits(finished=2))


async def test_what_the_stage_tells_in_its_thread_reaches_who_follows(hub: LiveHub) -> None:
    world, feed = World(), hub.begin("slide", "slide.png")
    follower = Follower(feed)
    for number in range(5):
        await asyncio.to_thread(hub.changed, world.delta(added=[(0, number)], labelled=[(0, number)]))
    await asyncio.sleep(0)
    hub.finish("slide", "done", "/report", "ab")
    follower.drain()
    assert applied(follower.state) == world.cells
    assert follower.state["status"] == "done"
    assert follower.messages[-1]["counts"] == {"cells": 5}


async def test_opening_is_told_to_who_follows_and_who_keeps_jobs(hub: LiveHub) -> None:
    seen: list[Any] = []
    hub.on_opened = seen.append
    follower = Follower(hub.begin("field", "field.png"))
    image, measured = slide(), calibration()
    plan = TilePlan(image.width, image.height, measured.scale)
    await asyncio.to_thread(hub.opened, image, measured, plan)
    await asyncio.sleep(0)
    follower.drain()
    (told,) = [message for message in follower.messages if message["type"] == "image"]
    assert seen == [image]
    assert (told["width"], told["height"], told["mpp"], told["scale_source"]) == (1000, 800, 0.25, "metadata")
    assert np.frombuffer(told["cores"], "<f4").tolist() == [0.0, 0.0, 1000.0, 800.0]


def test_cores_partition_the_picture() -> None:
    image, measured = slide(4000, 3000), calibration(mpp=0.2)
    plan = TilePlan(4000, 3000, measured.scale)
    told = image_message(image, measured, plan)
    cores = np.frombuffer(told["cores"], "<f4").reshape(-1, 4)
    assert len(cores) == told["tiles"] == told["columns"] * told["rows"] > 4
    areas = (cores[:, 2] - cores[:, 0]) * (cores[:, 3] - cores[:, 1])
    assert areas.sum() == pytest.approx(4000 * 3000, rel=1e-5)


async def test_a_cancelled_slide_is_told_anew_from_its_result(hub: LiveHub) -> None:
    """Deltas that were lost with the cancellation leave nothing wrong behind."""
    world, feed = World(), hub.begin("field", "field.png")
    early, late = Follower(feed), Follower(feed)
    hub.changed(world.delta(added=[(7, 7), (0, 0)], labelled=[(0, 0)], ended={7: "analysed"}))
    await asyncio.sleep(0)
    early.drain()
    result = mixed(40, status="partial")
    hub.settled(result)
    await asyncio.sleep(0)
    hub.finish("field", "cancelled", None, None)
    for follower in (early, late):
        follower.drain()
        keys = sorted(follower.state["cells"])
        assert keys == [tuple(key) for key in result.cells.keys.tolist()]
        bests = [follower.state["cells"][key][1] for key in keys]
        assert bests == result.best.tolist()
        assert follower.state["progress"] == {**result.tiles, "planned": len(result.plan)}
        assert follower.messages[-1]["type"] == "end"


async def test_a_complete_result_tells_nothing_new(hub: LiveHub) -> None:
    feed = hub.begin("field", "field.png")
    hub.settled(mixed(40))
    await asyncio.sleep(0)
    assert feed.table.seq == 0


async def test_only_the_newest_ended_slides_are_held(hub: LiveHub) -> None:
    for name in ("a", "b", "c"):
        hub.begin(name, name)
        hub.finish(name, "done", None, None)
    over = End("done", "/report", "ab", {"cells": 3})
    assert hub.ended("a", "a", over).hollow
    assert not hub.ended("c", "c", over).hollow


async def test_a_feed_that_nothing_happened_in_is_forgotten_with_its_last_follower(hub: LiveHub) -> None:
    feed = hub.follow("a", "a")
    follower = Follower(feed)
    hub.unfollow(feed)
    assert hub.follow("a", "a") is feed
    follower.session.leave()
    hub.unfollow(feed)
    assert hub.follow("a", "a") is not feed


async def test_who_waits_for_a_slide_stays_when_it_begins(hub: LiveHub) -> None:
    feed = hub.follow("a", "a")
    assert hub.begin("a", "a") is feed
    assert hub.clients() == 0


async def test_what_names_the_cells_is_kept_with_the_slide(hub: LiveHub) -> None:
    world, naming = World(), Naming(rates={"rbc": {"sickle": ClassRates(Rate(1, 9), None, 0)}})
    hub.begin("slide", "slide.png")
    assert hub.naming("slide") == Naming() == hub.naming("nobody")
    await asyncio.to_thread(hub.changed, replace(world.delta(added=[(0, 0)]), naming=naming))
    await asyncio.sleep(0)
    assert hub.naming("slide") is naming
    hub.begin("field", "field.png")
    await asyncio.to_thread(hub.settled, mixed(3, naming=naming))
    await asyncio.sleep(0)
    assert hub.naming("field") is naming
