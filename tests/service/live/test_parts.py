"""The pieces: columns, changes, the mailbox, the ring, the table, snapshots."""

from __future__ import annotations

import msgpack
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from live_world import World, limits

from hema_stream.core.delta import SlideDelta
from hema_stream.service.live import Change, Outlines, Table, coalesce
from hema_stream.service.live.columns import CELL, LABEL, Columns, row_bytes
from hema_stream.service.live.mailbox import Mailbox
from hema_stream.service.live.ring import Ring
from hema_stream.service.live.snapshot import snapshot

MANY = [(tile, number) for tile in range(4) for number in range(100)]


def entered(table: Table, delta: SlideDelta) -> Change:
    change = Change.of(delta)
    table.apply(change, Outlines.of(delta.added))
    return change


def test_columns_are_little_endian_and_survive_packing() -> None:
    change = Change.of(World().delta(added=MANY))
    packed = change.added.pack()
    assert packed["n"] == len(MANY)
    assert packed["keys"][:8] == b"\x00" * 8
    assert packed["keys"][8:16] == b"\x00\x00\x00\x00\x01\x00\x00\x00"
    again = Columns.unpack(CELL, packed)
    assert all((again[name] == change.added[name]).all() for name in CELL)
    assert sum(len(packed[name]) for name in CELL) == len(MANY) * row_bytes(CELL) == change.added.nbytes


@given(st.integers(0, 1 << 30))
def test_a_change_says_at_least_how_large_its_message_is(seed: int) -> None:
    change = Change.of(World(seed).delta(added=MANY[: seed % 9], labelled=MANY[: seed % 7], ended={1: "gap"}))
    assert len(change.frame) <= change.nbytes


def test_labels_of_cells_added_with_them_travel_in_their_columns() -> None:
    change = Change.of(World().delta(added=[(0, 1)], labelled=[(0, 1), (0, 2)]))
    assert change.added["best"].tolist() != [-1]
    assert change.labelled["keys"].tolist() == [[0, 2]]


def test_coalescing_leaves_its_parts_alone() -> None:
    world = World()
    first, second = Change.of(world.delta(added=[(0, 1)])), Change.of(world.delta(labelled=[(0, 1)]))
    both = coalesce([first, second])
    assert first.added["best"].tolist() == [-1]
    assert both.added["best"].tolist() == second.labelled["best"].tolist()
    assert (both.first, both.last) == (1, 2)


def test_a_label_before_the_addition_is_overtaken_by_it() -> None:
    world = World()
    changes = [Change.of(world.delta(labelled=[(0, 1)])), Change.of(world.delta(added=[(0, 1)]))]
    both = coalesce(changes)
    assert both.added["best"].tolist() == [-1]
    assert not len(both.labelled)


def test_a_label_after_the_retraction_is_nobodys() -> None:
    world = World()
    changes = [Change.of(world.delta(retracted=[(0, 1)])), Change.of(world.delta(labelled=[(0, 1)]))]
    both = coalesce(changes)
    assert both.retracted.tolist() == [[0, 1]]
    assert both.labelled.layout == LABEL
    assert not len(both.labelled)


def test_only_the_last_label_stays() -> None:
    world = World()
    changes = [Change.of(world.delta(labelled=[(0, 1), (0, 2)])) for _ in range(3)]
    both = coalesce(changes)
    assert both.labelled["keys"].tolist() == [[0, 1], [0, 2]]
    assert both.labelled["best"].tolist() == changes[-1].labelled["best"].tolist()


def test_a_mailbox_stays_within_its_limit() -> None:
    world, box = World(), Mailbox(20_000)
    kept = [box.put(Change.of(world.delta(added=MANY[:20]))) for _ in range(200)]
    assert all(kept)
    assert box.nbytes <= 20_000
    change = box.take()
    assert (change.first, change.last, len(change.added)) == (1, 200, 20)
    assert not len(box)


def test_a_mailbox_that_coalescing_does_not_help_is_emptied() -> None:
    world, box = World(), Mailbox(20_000)
    kept = [box.put(Change.of(world.delta(added=[(row, n) for n in range(100)]))) for row in range(4)]
    assert False in kept
    assert box.nbytes <= 20_000


def test_a_ring_keeps_the_newest_bytes() -> None:
    world, ring = World(), Ring(10_000)
    for _ in range(100):
        ring.append(Change.of(world.delta(added=[(0, 1)])))
    assert ring.after(1) is None
    kept = next(found for seq in range(100) if (found := ring.after(seq)))
    assert ring.nbytes == sum(change.nbytes for change in kept)
    assert 10_000 - kept[0].nbytes < ring.nbytes <= 10_000
    assert [change.first for change in ring.after(98) or []] == [99, 100]
    assert ring.after(100) == []
    assert ring.after(101) is None


def test_a_table_in_files_is_the_same_table() -> None:
    deltas = []
    for spill in (1 << 30, 0):
        world, table = World(1), Table(spill)
        for keys in (MANY, MANY[:50]):
            entered(table, world.delta(added=keys, retracted=MANY[200:]))
        slots = table.alive(0, 10_000)
        assert isinstance(table.cells(slots)["box"], np.ndarray)
        deltas.append((table.cells(slots).pack(), table.outlines(slots).vertices.tolist(), type(table._vertices)))
    assert deltas[0][:2] == deltas[1][:2]
    assert deltas[1][2] is np.memmap


def test_slots_are_used_again() -> None:
    world, table = World(), Table(1 << 30)
    for _ in range(20):
        entered(table, world.delta(added=MANY))
        entered(table, world.delta(retracted=MANY))
    assert table.end == len(MANY)
    assert not len(table)


def test_snapshot_parts_stay_within_the_limit() -> None:
    world, table = World(), Table(1 << 30)
    entered(table, world.delta(added=MANY, ended=dict.fromkeys(range(900), "background")))
    size = 3000
    messages = list(snapshot(table, size))
    assert len(messages) > 5
    assert all(len(msgpack.packb(message)) <= size for message in messages)
    assert sum(message["cells"]["n"] for message in messages[1:-1]) == len(MANY)
    assert sum(message["tiles"]["n"] for message in messages[1:-1]) == 900


def test_the_limits_are_those_of_the_design() -> None:
    shipped = limits()
    assert (shipped.part, shipped.mailbox, shipped.ring) == (256 << 10, 4 << 20, 64 << 20)
    assert (shipped.first_credit, shipped.heartbeat, shipped.patience, shipped.snapshots) == (16, 5.0, 30.0, 3)
