"""Faults of a configuration are named by line and key."""

from __future__ import annotations

import pickle

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from hema_stream.core.faults import Document, FaultyConfigError

TEXT = """\
# a comment
name: box
folders:
  - path: /a
    many: 3
  - path: /b
    many: x
stop: {within: 1}
"""


class Folder(BaseModel):
    path: str
    many: int


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    folders: list[Folder]
    data: str


def test_each_fault_has_its_line_and_key() -> None:
    document = Document("box.yaml", TEXT)
    with pytest.raises(ValidationError) as caught:
        Model.model_validate(document.values)
    told = [str(fault) for fault in sorted(document.faults(caught.value))]
    assert told[0] == "1: data: Field required"
    assert told[1].startswith("7: folders.1.many: Input should be a valid integer")
    assert told[2] == "8: stop: no such key"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: [\n", "box.yaml:3: not valid YAML"),
        ("a: 1\n\tb: 2\n", "box.yaml:2: not valid YAML"),
        ("- a\n", "box.yaml:1: expected a mapping"),
        ("", "box.yaml:1: expected a mapping"),
        ("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", "box.yaml:5: b.c: stands here twice"),
        ("a: [{x: 1, x: 2}]", "box.yaml:1: a.0.x: stands here twice"),
        ("a: \x00", "box.yaml:1: not valid YAML"),
        ("a: !!python/object:os.system {}", "box.yaml:1: not valid YAML"),
    ],
)
def test_what_is_no_document_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(FaultyConfigError) as caught:
        Document("box.yaml", text)
    assert str(caught.value).startswith(told)


def test_faults_travel_between_processes() -> None:
    with pytest.raises(FaultyConfigError) as caught:
        Document("box.yaml", "a: 1\na: 2")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
