"""Tickets: once, for one slide, for some seconds, and not without number."""

from __future__ import annotations

from hema_stream.service.auth import Tickets
from hema_stream.service.settings import TicketLimits

LIMITS = TicketLimits(seconds=30.0, most=3)


def test_a_ticket_serves_once_within_its_time() -> None:
    tickets = Tickets(LIMITS)
    ticket = tickets.issue("a", 0.0)
    assert tickets.redeem(ticket, "a", 29.9)
    assert not tickets.redeem(ticket, "a", 29.9)


def test_a_late_one_and_one_of_another_slide_are_used_up() -> None:
    tickets = Tickets(LIMITS)
    late, other = tickets.issue("a", 0.0), tickets.issue("b", 0.0)
    assert not tickets.redeem(late, "a", 30.0)
    assert not tickets.redeem(other, "a", 1.0)
    assert not tickets.redeem(late, "a", 1.0)
    assert not tickets.redeem(other, "b", 1.0)


def test_past_the_limit_the_oldest_dies() -> None:
    tickets = Tickets(LIMITS)
    made = [tickets.issue("a", 0.0) for _ in range(4)]
    assert [tickets.redeem(ticket, "a", 1.0) for ticket in made] == [False, True, True, True]


def test_no_ticket_is_kept_as_text() -> None:
    tickets = Tickets(LIMITS)
    ticket = tickets.issue("a", 0.0)
    assert ticket not in tickets._open
