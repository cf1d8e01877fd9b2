"""What a scanner has sent, on the disk: synced before it counts, whole or not at all, and read again as it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hema_stream.core.field import Field, FieldsPassed
from hema_stream.service.ingest import Opening
from hema_stream.service.orders import GROUP, Orders
from hema_stream.service.settings import load_limits
from hema_stream.service.spool import JOURNAL, Spool

OPENING = Opening.model_validate(
    {
        "name": "scan",
        "width": 64,
        "height": 64,
        "mpp": 0.5,
        "grid": {"columns": 10, "rows": 10, "step_x": 30, "step_y": 30},
    }
)
SCAN = OPENING.scan(load_limits().ingest)


def field(index: int, data: bytes = b"picture") -> Field:
    row, column = divmod(index, 10)
    return Field(index, column * 30.0, row * 30.0, "jpeg", data)


def begun(folder: Path, durability: Any = "group") -> Spool:
    spool = Spool(folder / "scan", 0, durability)
    spool.begin(OPENING, "owner", SCAN)
    return spool


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    spool = begun(tmp_path)
    assert spool.keep([field(3), FieldsPassed((), "watermark", through=2), field(4)], SCAN) == {}
    spool.keep([FieldsPassed((), "watermark", through=2, sealed=(0.0, 0.0, 30.0, 30.0))], SCAN)
    kept = spool.read()
    assert kept is not None
    assert [each.index for each in kept.fields] == [3, 4]
    assert (kept.watermark, kept.sealed, kept.taken) == (2, ((0.0, 0.0, 30.0, 30.0),), None)


def test_every_file_of_a_group_the_folder_and_then_the_journal_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, synced = begun(tmp_path), []
    for name in ("fsync", "fdatasync"):
        plain = getattr(os, name)

        def noting(descriptor: int, plain: Any = plain) -> None:
            synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
            plain(descriptor)

        monkeypatch.setattr(os, name, noting)
    spool.keep([field(0), field(1)], SCAN)
    assert synced[-2:] == ["scan", JOURNAL]
    assert [name.strip(".").partition("_")[0] for name in synced[:-2]] == ["0", "1"]
    synced.clear()
    Spool(spool.folder, 0, "none").keep([field(2)], SCAN)
    assert synced == []


@pytest.mark.parametrize("tail", [b'{"field": 9, "si', b"\0" * 40, b"7\n", b"null"])
def test_a_torn_tail_of_the_journal_counts_for_nothing(tmp_path: Path, tail: bytes) -> None:
    spool = begun(tmp_path)
    spool.keep([field(0)], SCAN)
    with (spool.folder / JOURNAL).open("ab") as file:
        file.write(tail)
    kept = spool.read()
    assert kept is not None
    assert [each.index for each in kept.fields] == [0]


def test_what_is_kept_behind_a_torn_tail_counts(tmp_path: Path) -> None:
    spool = begun(tmp_path)
    with (spool.folder / JOURNAL).open("ab") as file:
        file.write(b'{"field": 9, "si')
    spool.read()
    spool.keep([field(0)], SCAN)
    kept = spool.read()
    assert kept is not None
    assert [each.index for each in kept.fields] == [0]


def test_a_field_that_the_journal_does_not_name_was_never_acknowledged(tmp_path: Path) -> None:
    spool = begun(tmp_path)
    spool.keep([field(0)], SCAN)
    (stray,) = [path for path in spool.folder.iterdir() if path.name.startswith("0_")]
    stray.with_name("1_30.000_0.000.jpeg").write_bytes(b"picture")
    kept = spool.read()
    assert kept is not None
    assert [each.index for each in kept.fields] == [0]
    assert not (spool.folder / "1_30.000_0.000.jpeg").exists()


def test_a_scan_of_an_earlier_version_counts_but_for_its_empty_files(tmp_path: Path) -> None:
    spool = begun(tmp_path)
    spool.keep([field(0), field(1)], SCAN)
    (spool.folder / JOURNAL).unlink()
    (spool.folder / "1_30.000_0.000.jpeg").write_bytes(b"")
    kept = spool.read()
    assert kept is not None
    assert [each.index for each in kept.fields] == [0]


async def test_watermarks_that_wait_become_the_last_of_them() -> None:
    orders = Orders()
    orders.put(field(0))
    for through in range(80_000):
        orders.put(FieldsPassed((), "watermark", through=through))
    orders.put(field(1))
    assert len(orders) == 3
    _, passed, _ = await orders.take()
    assert isinstance(passed, FieldsPassed)
    assert passed.through == 79_999


async def test_orders_are_taken_in_groups_in_their_order() -> None:
    orders = Orders()
    for index in range(GROUP + 2):
        orders.put(field(index % 100))
    assert [len(await orders.take()), len(await orders.take())] == [GROUP, 2]
