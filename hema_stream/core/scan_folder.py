"""The folder in which a scan's fields are kept: a file a field, named by number and place, and what was declared."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DECLARATION, CLOSED = "scan.json", "closed.json"
_NAME = re.compile(r"(\d+)_(-?\d+\.\d{3})_(-?\d+\.\d{3})\.(jpeg|raw)")


@dataclass(frozen=True)
class KeptField:
    """A field on the disk: its number, its upper left corner (um, stage coordinates), its encoding, its file."""

    index: int
    x: float
    y: float
    encoding: str
    path: Path


def field_name(index: int, x: float, y: float, encoding: str) -> str:
    """Name of a field's file."""
    return f"{index}_{x:.3f}_{y:.3f}.{encoding}"


def kept_fields(folder: Path) -> list[KeptField]:
    """The fields that are there whole, by number."""
    found = []
    for path in folder.iterdir():
        if parts := _NAME.fullmatch(path.name):
            index, x, y, encoding = parts.groups()
            found.append(KeptField(int(index), float(x), float(y), encoding, path))
    return sorted(found, key=lambda field: field.index)


def write_json(folder: Path, name: str, document: Mapping[str, Any]) -> None:
    """Write a document that appears whole or not at all."""
    partial = folder / f".{name}.partial"
    partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / name)


def read_json(folder: Path, name: str) -> dict[str, Any] | None:
    """Read a document; None where there is none."""
    try:
        document: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return document
