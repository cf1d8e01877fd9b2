"""What becomes of an item whose work failed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class Verdict(Enum):
    """What happens when no try is left."""

    GAP = "gap"
    FAIL_SLIDE = "fail-slide"
    FAIL_PIPELINE = "fail-pipeline"


@dataclass(frozen=True)
class Policy:
    """``Policy.GAP``, ``Policy.FAIL_SLIDE``, ``Policy.FAIL_PIPELINE``, or ``Policy.retry(2, then=Policy.GAP)``."""

    verdict: Verdict
    retries: int = 0

    GAP: ClassVar[Policy]
    FAIL_SLIDE: ClassVar[Policy]
    FAIL_PIPELINE: ClassVar[Policy]

    @classmethod
    def retry(cls, times: int, then: Policy | None = None) -> Policy:
        """Try again ``times`` times, then do as ``then`` says (a gap unless told otherwise)."""
        if times < 1:
            raise ValueError("a retry policy tries at least once more")
        return cls((then or cls.GAP).verdict, times)

    def __str__(self) -> str:
        return f"retry({self.retries}) then {self.verdict.value}" if self.retries else self.verdict.value


Policy.GAP = Policy(Verdict.GAP)
Policy.FAIL_SLIDE = Policy(Verdict.FAIL_SLIDE)
Policy.FAIL_PIPELINE = Policy(Verdict.FAIL_PIPELINE)
