"""Answers that were given before: one file for each task and recipe, by the content of the picture."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hema_stream.cli.evaluate.suite.recipe import Recipe
from hema_stream.core.slide import InputImage

AT_ONCE = 400
"""Pictures of one run of the pipeline; what was answered is kept after each."""

Telling = Callable[[int, Sequence[Any]], Any]
"""From a picture's place and what its pipeline collected to what is kept, as JSON takes it."""


@dataclass(frozen=True)
class Task:
    """One pipeline and what is asked of it.

    Attributes:
        name: of the file of answers; pipeline: of configs/pipelines; settings: of the task itself.
    """

    name: str
    pipeline: str
    settings: tuple[str, ...] = ()


def answered(
    task: Task,
    recipe: Recipe,
    folder: Path,
    inputs: Sequence[InputImage],
    tell: Telling,
    say: Callable[[str], None],
    about: Sequence[str] = (),
) -> list[Any]:
    """Answers to pictures, from the folder or else from the pipeline; None where it has no result.

    Args:
        inputs: named by their place, '0' to 'N-1'.
        about: N texts, what besides the picture an answer depends on.
        say: takes a line of progress.
    """
    identity = recipe.identity(task.pipeline, task.settings)
    path = folder / f"{task.name}-{identity[:16]}.json.gz"
    known: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes())) if path.exists() else {}
    keys = [_key(one, about[n] if about else "") for n, one in enumerate(inputs)]
    missing = [n for n, key in enumerate(keys) if key not in known]
    for start in range(0, len(missing), AT_ONCE):
        some = missing[start : start + AT_ONCE]
        say(f"{task.name}: {start} of {len(missing)} pictures answered, {len(keys) - len(missing)} known before")
        known |= {keys[n]: told for n, told in _told(task, recipe, [inputs[n] for n in some], tell, say).items()}
        _write(path, known)
    return [known.get(key) for key in keys]


def _told(
    task: Task, recipe: Recipe, inputs: Sequence[InputImage], tell: Telling, say: Callable[[str], None]
) -> dict[int, Any]:
    """Answers by place; a picture without a result is told of and has none, so that it is asked again next time."""
    from hema_stream.cli.evaluate.collected import collect

    settings = recipe.for_pipeline(task.pipeline, task.settings)
    collected = collect(task.pipeline, inputs, recipe.profile, settings)
    for one in inputs:
        if one.id in collected.failed:
            say(f"no result: {one.path}: {collected.failed[one.id]}")
    there = [one for one in inputs if one.id not in collected.failed]
    return {int(one.id): tell(int(one.id), collected.items.get(one.id, ())) for one in there}


def _key(one: InputImage, about: str) -> str:
    content = hashlib.sha256(one.path.read_bytes()).hexdigest()
    return hashlib.sha256(f"{content} {one.mpp} {about}".encode()).hexdigest()[:32]


def _write(path: Path, known: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.{os.getpid()}")
    written.write_bytes(gzip.compress(json.dumps(known).encode(), compresslevel=5))
    written.replace(path)
