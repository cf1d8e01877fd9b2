"""What is taken from a watched folder, and when: configs/service.yaml, ``watch``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt


class WatchRules(BaseModel):
    """Times in seconds, sizes in bytes.

    Attributes:
        suffixes: endings of files that are slides, lower case; what else lies there is left alone.
        unfinished: beginnings and endings of names that a scanner is still writing under.
        companions: endings of slides that have a folder of the same stem beside them, which is moved with them.
        stable: how long a file must stay as it is before it is taken for whole.
        empty: after how long a file without a byte goes to quarantine.
        most_bytes: of a slide; a larger one goes to quarantine.
        attempts: how often a slide is begun; one that never ends is quarantined then.
        keep: whether slides that are done are kept, in ``done``; else they are deleted.
        polling: look at the folder instead of waiting for its events, as network shares need.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    suffixes: tuple[str, ...]
    unfinished: tuple[str, ...]
    companions: tuple[str, ...]
    stable: PositiveFloat
    empty: PositiveFloat
    most_bytes: PositiveInt
    attempts: PositiveInt
    keep: bool
    polling: bool

    def is_slide(self, name: str) -> bool:
        """Whether a file's name is that of a slide that may be taken."""
        lower = name.lower()
        unfinished = any(lower.startswith(mark) or lower.endswith(mark) for mark in self.unfinished)
        return not unfinished and lower.endswith(self.suffixes)
