"""One connection: what a scanner may send, what it is answered, and how it ends."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from scanned import LIMITS, Line, field, free, gridded, pushed

from hema_stream.service.ingest import Ended


def test_the_first_messages_say_what_is_known_and_grant_the_window() -> None:
    push, _ = pushed()
    hello, credit, counts = Line(push).heard()
    assert (hello["type"], hello["window"], hello["received"], hello["watermark"]) == ("hello", 6, [], -1)
    assert (credit, counts["type"]) == ({"type": "credit", "n": 6}, "counts")


def test_a_field_is_acknowledged_and_its_credit_returns_when_the_pipeline_needs_its_room_no_longer() -> None:
    push, sink = pushed()
    line = Line(push)
    line.heard()
    line.say(**field(3))
    assert line.heard() == [{"type": "ack", "accepted": [3], "repeated": []}]
    assert sink.numbers == [3]
    push.left(3, "analysed")
    assert line.heard() == [{"type": "credit", "n": 1}]


def test_a_repeat_changes_nothing_and_costs_nothing() -> None:
    push, sink = pushed()
    line = Line(push)
    line.heard()
    line.say(**field(0))
    line.say(**field(0, data=b"another"))
    assert line.heard() == [{"type": "ack", "accepted": [0], "repeated": [0]}, {"type": "credit", "n": 1}]
    assert sink.numbers == [0]


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("checksum", {"crc32": 1}),
        ("index", {"index": 12}),
        ("late", {"index": 1}),
        ("position", {"x": 99.0}),
        ("size", {"encoding": "raw"}),
    ],
)
def test_what_is_not_taken_is_refused_by_its_reason_and_the_line_goes_on(code: str, changes: dict[str, Any]) -> None:
    push, sink = pushed()
    line = Line(push)
    line.heard()
    line.say(type="watermark", index=1)
    line.say(**{**field(2), **changes})
    refused, credit = line.heard()
    assert (refused["type"], refused["code"]) == ("refused", code)
    assert credit == {"type": "credit", "n": 1}
    assert not sink.fields
    line.say(**field(2))
    assert line.hear("ack")


def test_a_field_outside_the_area_or_in_a_sealed_part_is_refused() -> None:
    scan = free()
    push, _ = pushed(scan)
    line = Line(push)
    line.heard()
    line.say(type="watermark", index=-1, sealed=[0.0, 0.0, 100.0, 20.0])
    line.say(**field(0, scan, x=97.0, y=50.0))
    line.say(**field(1, scan, x=10.0, y=19.0))
    line.say(**field(2, scan, x=10.0, y=20.0))
    assert [message["code"] for message in line.heard("credit", "ack")] == ["position", "sealed"]
    assert push.received == {2}


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\xc1", "not_understood"),
        (msgpack.packb([1]), "not_understood"),
        (msgpack.packb({"type": "hello"}), "not_understood"),
        (msgpack.packb({**field(0), "more": 1}), "not_understood"),
        (msgpack.packb({**field(0), "x": float("nan")}), "not_understood"),
        (msgpack.packb({**field(0), "index": True}), "not_understood"),
        (msgpack.packb({"type": "watermark", "index": 99}), "index"),
        (msgpack.packb({"type": "close", "fields": 99}), "fields"),
        (b"\x81" * 2000, "not_understood"),
    ],
)
def test_what_is_no_message_ends_the_line_and_not_the_scan(frame: bytes, code: str) -> None:
    push, sink = pushed()
    line = Line(push)
    line.heard()
    line.session.receive(frame, 0.0)
    assert [message["code"] for message in line.hear("error")] == [code]
    assert line.session.close is not None
    assert line.session.close.code == 1008
    line.session.receive(msgpack.packb(field(0)), 0.0)
    assert not sink.fields
    again = Line(push)
    again.heard()
    again.say(**field(0))
    assert sink.numbers == [0]


def test_a_field_without_a_credit_ends_the_line() -> None:
    push, sink = pushed(gridded(window=2))
    line = Line(push)
    line.heard()
    for index in range(3):
        line.say(**field(index))
    assert [message["code"] for message in line.hear("error")] == ["credit"]
    assert sink.numbers == [0, 1]


def test_a_credit_that_was_not_written_is_not_granted() -> None:
    """A scanner that sends and never reads is stopped by the window."""
    push, _ = pushed(gridded(window=2))
    line = Line(push)
    line.heard()
    line.say(**field(0))
    push.left(0, "analysed")
    assert line.session.granted == 1
    line.heard()
    assert line.session.granted == 2


def test_a_new_line_takes_the_place_of_the_old_one_and_is_told_what_arrived() -> None:
    push, _ = pushed()
    first = Line(push)
    first.heard()
    for index in (0, 1, 5):
        first.say(**field(index))
    second = Line(push)
    hello, credit, *_ = second.heard()
    assert hello["received"] == [[0, 1], [5, 5]]
    assert credit["n"] == 3
    assert [message["code"] for message in first.hear("error")] == ["replaced"]
    first.session.leave()
    push.left(0, "analysed")
    assert second.hear("credit") == [{"type": "credit", "n": 1}]


def test_what_a_field_could_not_be_read_for_is_told() -> None:
    push, _ = pushed()
    line = Line(push)
    line.heard()
    line.say(**field(0))
    line.heard()
    push.left(0, "unreadable")
    assert line.hear("lost") == [{"type": "lost", "index": 0, "reason": "unreadable"}]


def test_counts_come_when_they_change_and_say_when_there_are_enough() -> None:
    push, _ = pushed()
    counts = {"wbc/neutrophil": 1, "wbc/smudge": 9, "wbc/unknown": 9, "rbc/normal": 2, "rbc/target": 1}
    push.figures = lambda: (counts, {"planned": 12})
    line = Line(push)
    assert [message["enough"] for message in line.hear("counts")] == [False]
    line.now += LIMITS.interval
    assert line.heard() == []
    counts["wbc/lymphocyte"] = 1
    line.now += LIMITS.interval
    assert [message["enough"] for message in line.hear("counts")] == [True]


def test_a_sign_of_life_comes_in_its_time() -> None:
    push, _ = pushed()
    line = Line(push)
    line.heard()
    line.now = line.session.due()
    line.heard()
    line.now = LIMITS.heartbeat * 2
    assert line.heard() == [{"type": "heartbeat"}]


def test_after_the_close_nothing_is_taken_and_the_end_is_told() -> None:
    push, sink = pushed()
    line = Line(push)
    line.heard()
    line.say(**field(0))
    line.say(type="close", fields=12)
    line.say(type="close", fields=12)
    line.say(**field(1))
    messages = line.heard()
    assert [message["type"] for message in messages] == ["ack", "refused"]
    assert (sink.closed, sink.passed[-1].taken) == (1, 12)
    push.end(Ended("done", "/report", "ab", {"cells": 3}, {"planned": 12}))
    (end,) = line.heard()
    assert (end["type"], end["status"], end["url"], end["counts"]) == ("end", "done", "/report", {"cells": 3})
    assert line.session.close is not None
    assert line.session.close.code == 1000
    late = Line(push)
    assert [message["type"] for message in late.heard()] == ["hello", "end"]


def test_an_abort_gives_the_slide_up() -> None:
    push, sink = pushed()
    line = Line(push)
    line.heard()
    line.say(type="abort", reason="the slide broke")
    assert sink.aborted == 1
    line.say(**field(0))
    assert not sink.fields


def test_a_scanner_that_is_not_heard_of_any_more_is_waited_for_only_so_long() -> None:
    push, sink = pushed()
    line = Line(push, now=5.0)
    line.heard()
    line.say(**field(2))
    push.expire(5.0 + LIMITS.patience - 1)
    assert not sink.closed
    push.expire(5.0 + LIMITS.patience)
    assert (sink.closed, sink.passed[-1].taken) == (1, 12)


def test_a_scanner_that_has_no_room_to_send_is_waited_for() -> None:
    push, sink = pushed(gridded(window=2))
    line = Line(push)
    line.heard()
    line.say(**field(0))
    line.say(**field(1))
    push.expire(10 * LIMITS.patience)
    push.left(0, "analysed")
    push.expire(10 * LIMITS.patience + 1)
    assert not sink.closed
