"""The launch grammar: a pipeline in one line of text, as gst-launch has it.

    source ! decode threads=2 name=d ! sink      d.extra ! other.

Elements are joined by ``!``; ``name.pad`` and ``name.`` refer to a stage made elsewhere in the text; a chain ends where
no ``!`` follows. ``#`` starts a comment; values are quoted as in a shell.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hema_stream.flow.errors import LaunchSyntaxError, PropertyError
from hema_stream.flow.pipeline import Pipeline
from hema_stream.flow.registry import Registry
from hema_stream.flow.topology import NAME

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)|(?P<bang>!)|(?P<word>(?:[^\s"'!\#\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+)"""
)
_REFERENCE = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)\.([A-Za-z0-9_]*)\Z")
_PROPERTY = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)=(.*)\Z", re.DOTALL)


@dataclass(frozen=True)
class Element:
    """A stage as written: its kind, its name, its properties as text."""

    kind: str
    name: str
    properties: Mapping[str, str]
    line: int = field(compare=False)
    column: int = field(compare=False)


@dataclass(frozen=True)
class Description:
    """A parsed text: elements in order, and links as (stage.pad, stage.pad); an empty pad is the first free one."""

    elements: tuple[Element, ...]
    links: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """Write it back in the grammar."""
        chains = [
            " ".join([e.kind, f"name={e.name}", *(f"{k}={shlex.quote(v)}" for k, v in e.properties.items())])
            for e in self.elements
        ]
        return "\n".join([*chains, *(f"{_reference(a)} ! {_reference(b)}" for a, b in self.links)])


def _reference(end: str) -> str:
    """Write a link's end so that it is not taken for another stage of that kind."""
    return end if "." in end else f"{end}."


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int
    column: int


def parse(text: str) -> Description:
    """Parse a launch text.

    Raises:
        LaunchSyntaxError: names line, column, what was found and what was expected.
    """
    return _Parser(list(_tokens(text))).parse()


def parse_launch(
    text: str, registry: Registry | None = None, properties: Mapping[str, Mapping[str, Any]] | None = None
) -> Pipeline:
    """Build a pipeline from a launch text; ``properties`` by stage name win over those in the text.

    Raises:
        LaunchSyntaxError, PipelineError, PropertyError, NegotiationError.
    """
    registry = registry or Registry()
    description = parse(text)
    given = dict(properties or {})
    pipeline = Pipeline()
    for element in description.elements:
        own = {**element.properties, **given.pop(element.name, {})}
        pipeline.add(registry.load(element.kind)(name=element.name, **own))
    if given:
        names = ", ".join(e.name for e in description.elements)
        raise PropertyError(f"properties are set for {', '.join(given)}, but the stages are {names}")
    for source, sink in description.links:
        pipeline.link(source, sink)
    return pipeline


def _tokens(text: str) -> Iterator[_Token]:
    position, line, start = 0, 1, 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise LaunchSyntaxError(f"found {text[position]!r}, which begins nothing", line, position - start + 1)
        if found.lastgroup != "space":
            yield _Token(str(found.lastgroup), found.group(), line, position - start + 1)
        newlines = found.group().count("\n")
        if newlines:
            line, start = line + newlines, position + found.group().rfind("\n") + 1
        position = found.end()


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._at = tokens, 0
        self._elements: list[Element] = []
        self._links: list[tuple[str, str]] = []

    def parse(self) -> Description:
        while self._peek():
            self._chain()
        known = {element.name for element in self._elements}
        for token in self._tokens:
            reference = _REFERENCE.match(token.text) if token.kind == "word" else None
            if reference and reference.group(1) not in known:
                raise LaunchSyntaxError(f"{token.text!r} refers to no stage of this text", token.line, token.column)
        return Description(tuple(self._elements), tuple(self._links))

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _chain(self) -> None:
        left = self._node()
        while (token := self._peek()) and token.kind == "bang":
            self._at += 1
            right = self._node()
            self._links.append((left, right))
            left = right.partition(".")[0] if right.partition(".")[0] in self._made() else right

    def _made(self) -> set[str]:
        return {element.name for element in self._elements}

    def _node(self) -> str:
        token = self._peek()
        if token is None:
            last = self._tokens[-1]
            raise LaunchSyntaxError("the text ends where a stage was expected", last.line, last.column)
        self._at += 1
        reference = _REFERENCE.match(token.text)
        if token.kind == "word" and reference:
            return f"{reference.group(1)}.{reference.group(2)}" if reference.group(2) else reference.group(1)
        if token.kind != "word" or not NAME.match(token.text):
            raise LaunchSyntaxError(f"found {token.text!r} where a stage was expected", token.line, token.column)
        return self._element(token)

    def _element(self, token: _Token) -> str:
        properties: dict[str, str] = {}
        while (following := self._peek()) and following.kind == "word" and (pair := _PROPERTY.match(following.text)):
            self._at += 1
            key = pair.group(1).replace("-", "_")
            if key in properties:
                raise LaunchSyntaxError(f"{pair.group(1)!r} is set a second time", following.line, following.column)
            properties[key] = "".join(shlex.split(pair.group(2))) if pair.group(2) else ""
        name = properties.pop("name", self._free_name(token.text))
        if not NAME.match(name):
            raise LaunchSyntaxError(f"{name!r} is no name of a stage", token.line, token.column)
        if name in self._made():
            raise LaunchSyntaxError(f"a second stage is called {name!r}", token.line, token.column)
        self._elements.append(Element(token.text, name, properties, token.line, token.column))
        return name

    def _free_name(self, kind: str) -> str:
        number, name = 0, kind
        while name in self._made():
            number += 1
            name = f"{kind}{number}"
        return name
