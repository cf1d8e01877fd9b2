"""The calibration window."""

from __future__ import annotations

from hema_stages.fields.window import Choice, Window


def test_it_waits_for_the_lowest_and_then_takes_them() -> None:
    window = Window(2, 6)
    for index in (3, 1, 2):
        window.add(index)
        assert window.choose() is None
    window.add(0)
    assert window.choose() == Choice((0, 1), settled=True)


def test_background_unreadable_and_missing_fields_are_replaced_by_the_next() -> None:
    window = Window(2, 6)
    window.skip(0)
    window.add(2)
    window.add(4)
    assert window.choose() is None
    window.pass_by(1)
    assert window.choose() is None
    window.skip(3)
    assert window.choose() == Choice((2, 4), settled=True)


def test_a_full_window_takes_what_there_is_and_says_so() -> None:
    window = Window(2, 3)
    for index in (9, 7, 8):
        window.add(index)
    assert window.choose() == Choice((7, 8), settled=False)


def test_at_the_close_it_takes_what_there_is_even_nothing() -> None:
    window = Window(2, 3)
    window.add(5)
    window.close()
    assert window.choose() == Choice((5,), settled=True)
    empty = Window(2, 3)
    empty.close()
    assert empty.choose() == Choice((), settled=True)
