"""Errors that name what happened, where, and what to do about it."""

from __future__ import annotations

from enum import StrEnum


class HemaError(Exception):
    """Base of every error that the product raises on purpose.

    Attributes:
        code: stable machine-readable code.
        message: what happened.
        place: file, tile, key or line that it concerns.
        remedy: what the person can do.
    """

    code = "error"

    def __init__(self, message: str, *, place: str = "", remedy: str = "", code: str | None = None) -> None:
        self.message, self.place, self.remedy = message, place, remedy
        if code is not None:
            self.code = code
        super().__init__(message, place, remedy, code)

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        advice = f" ({self.remedy})" if self.remedy else ""
        return f"{where}{self.message} [{self.code}]{advice}"

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes with every field."""
        return (_rebuild, (type(self), self.message, self.place, self.remedy, self.code))


def _rebuild(kind: type[HemaError], message: str, place: str, remedy: str, code: str) -> HemaError:
    return kind(message, place=place, remedy=remedy, code=code)


class InputCode(StrEnum):
    """Why an input is refused, or what is worth a warning."""

    NOT_FOUND = "not_found"
    EMPTY_FOLDER = "empty_folder"
    NO_PERMISSION = "no_permission"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TOO_SMALL = "too_small"
    BOMB = "bomb"
    BAD_LEVELS = "bad_levels"
    WRONG_COLOR = "wrong_color"
    SEVERAL_FILES = "several_files"
    SEVERAL_PICTURES = "several_pictures"
    BAD_SCALE = "bad_scale"
    TOO_LARGE = "too_large"
    BLANK = "blank"
    SMALL = "small"
    NO_SCALE = "no_scale"
    LOW_FOCUS = "low_focus"
    ALPHA_DROPPED = "alpha_dropped"


class InputError(HemaError):
    """An input that cannot be analysed; ``code`` is an ``InputCode``."""

    code = InputCode.UNREADABLE.value


class ConfigError(HemaError):
    """A profile, property or taxonomy that is not valid; ``place`` names file and key."""

    code = "config"


class ModelError(HemaError):
    """Weights or a back end that are missing or do not fit; ``remedy`` names the command that mends it."""

    code = "model"


class LedgerError(HemaError):
    """Tiles of a slide that did not end exactly once."""

    code = "ledger"


class OutputError(HemaError):
    """A result that cannot be written; ``place`` names the file or folder."""

    code = "output"
