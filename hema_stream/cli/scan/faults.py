"""What may go wrong between a scanner and a service, drawn by a seed: fields lost, repeated, reordered; cut lines."""

from __future__ import annotations

import random
from dataclasses import dataclass

SHARES = ("lost", "repeated", "reordered")


@dataclass(frozen=True)
class Faults:
    """Shares of the fields, 0..1, that are lost, sent twice, or sent later than their turn; and how often the line is
    cut.
    """

    lost: float = 0.0
    repeated: float = 0.0
    reordered: float = 0.0
    cut: int = 0

    @classmethod
    def parse(cls, text: str) -> Faults:
        """Read ``lost=0.05,repeated=0.05,reordered=0.2,cut=10``.

        Raises:
            ValueError: says what is wrong.
        """
        values: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = part.partition("=")
            if name not in (*SHARES, "cut"):
                raise ValueError(f"{name!r} is no fault; known are {', '.join((*SHARES, 'cut'))}")
            try:
                values[name] = float(value)
            except ValueError:
                raise ValueError(f"{name}={value!r}: expected a number") from None
            if values[name] < 0 or (name in SHARES and values[name] > 1) or (name == "cut" and values[name] % 1):
                allowed = "a share from 0 to 1" if name in SHARES else "a whole number from 0"
                raise ValueError(f"{name}={value}: expected {allowed}")
        return cls(**{name: values.get(name, 0.0) for name in SHARES}, cut=int(values.get("cut", 0)))


@dataclass(frozen=True)
class Course:
    """What is sent in which order.

    Attributes:
        sends: numbers of fields; one that is sent twice stands there twice.
        lost: fields that are never sent.
        cuts: the line is cut after so many sends, ascending.
    """

    sends: tuple[int, ...]
    lost: frozenset[int]
    cuts: tuple[int, ...]


def plan_course(fields: int, faults: Faults, seed: int, reach: int) -> Course:
    """Draw a course for fields 0..N-1.

    Args:
        reach: by how many turns a field is late at most.
    """
    drawn = random.Random(seed)
    lost = frozenset(drawn.sample(range(fields), min(round(faults.lost * fields), fields - 1)))
    left = [index for index in range(fields) if index not in lost]
    late = set(drawn.sample(left, min(round(faults.reordered * fields), len(left))))
    order = sorted(left, key=lambda index: (index + (drawn.uniform(1, reach) if index in late else 0), index))
    for index in sorted(drawn.sample(left, min(round(faults.repeated * fields), len(left)))):
        order.insert(drawn.randint(order.index(index) + 1, min(order.index(index) + reach, len(order))), index)
    places = range(1, max(len(order), 2))
    cuts = sorted(drawn.sample(places, min(faults.cut, len(places))))
    return Course(tuple(order), lost, tuple(cuts))
