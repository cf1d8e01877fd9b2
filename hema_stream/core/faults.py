"""Faults of a YAML document by line and key: what pydantic says of values, put beside the text they came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from hema_stream.core.errors import ConfigError

Key = tuple[str | int, ...]
"""Where a value stands: names and numbers from the document's top."""


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong, at a line (from 1) and a key."""

    line: int
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.line}: {self.key}: {self.message}" if self.key else f"{self.line}: {self.message}"


class FaultyConfigError(ConfigError):
    """A configuration with faults, all of them told at once."""

    def __init__(self, name: str, faults: Sequence[Fault]) -> None:
        self.name, self.faults = name, sorted(faults)
        lines = [f"{name}:{fault}" for fault in self.faults]
        super().__init__("\n".join(lines), remedy="correct the lines named")

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes with every fault."""
        return (type(self), (self.name, self.faults))


class Document:
    """A YAML document that remembers its lines.

    Raises:
        FaultyConfigError: it is no YAML, no mapping, or says a key twice.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        try:
            self._root = yaml.compose(text, yaml.SafeLoader)
            self.values: dict[str, Any] = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            fault = Fault(mark.line + 1 if mark else 1, "", f"not valid YAML: {error.problem or error.context}")
            raise FaultyConfigError(name, [fault]) from error
        except yaml.YAMLError as error:
            raise FaultyConfigError(name, [Fault(1, "", f"not valid YAML: {error}")]) from error
        if not isinstance(self.values, dict):
            raise FaultyConfigError(name, [Fault(1, "", "expected a mapping of keys to values")])
        if twice := list(_repeated(self._root)):
            raise FaultyConfigError(name, twice)

    def fault(self, key: Key, message: str) -> Fault:
        """A fault of the value at a key; where the document has no such key, of what would hold it."""
        return Fault(self.line(key), ".".join(map(str, key)), message)

    def line(self, key: Key) -> int:
        """The line of a key, from 1."""
        node, line = self._root, 1
        for part in key:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line

    def faults(self, error: ValidationError) -> list[Fault]:
        """What pydantic found, with lines."""
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return [self.fault(tuple(one["loc"]), _plain(one["msg"])) for one in found]


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Extra inputs are not permitted", "no such key")


def _child(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        value = node.value[part]
        return value.start_mark.line + 1, value
    return None


def _repeated(node: yaml.Node | None, above: Key = ()) -> Iterator[Fault]:
    """Keys that stand twice in one mapping: YAML readers keep the last in silence."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield Fault(key.start_mark.line + 1, ".".join(map(str, (*above, key.value))), "stands here twice")
            seen.add(key.value)
            yield from _repeated(value, (*above, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _repeated(value, (*above, number))
