"""Messages that take no credit are spread over time; fields are not."""

from __future__ import annotations

from hema_stream.service.ingest.pace import SMALL, Pace


def test_a_second_s_worth_comes_at_once_and_more_waits() -> None:
    pace = Pace(100.0)
    assert [pace.wait(20, 5.0) for _ in range(100)] == [0.0] * 100
    assert abs(pace.wait(20, 5.0) - 0.01) < 1e-9
    assert pace.wait(20, 50.0) == 0.0


def test_a_flood_is_read_at_the_rate() -> None:
    pace, now = Pace(200.0), 0.0
    for _ in range(80_000):
        now += pace.wait(30, now)
    assert 395 < now < 400


def test_fields_are_not_held_back() -> None:
    pace = Pace(1.0)
    assert [pace.wait(SMALL, 0.0) for _ in range(1000)] == [0.0] * 1000
