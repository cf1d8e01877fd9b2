"""The suite's document: the recipe by hashes, the product's figures, those of laboratories left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from hema_stream.cli.evaluate.suite.recipe import Recipe, file_hash
from hema_stream.cli.evaluate.suite.slides import (
    plan,
    pools_of,
    red_of_answers,
    red_of_fields,
    slide_figures,
)

if TYPE_CHECKING:
    from hema_models.evaluation.answers import Answers

    from hema_stream.cli.evaluate.suite.claims import Claims
    from hema_stream.cli.evaluate.suite.fields import Field

STREAMS = ("wbc", "rbc")
TABLES = ("wbc/labels.csv", "rbc/labels.csv", "rbc/chula_rbc12/points.csv", "detection/{split}.json")


@dataclass(frozen=True)
class Suite:
    """What was asked; each part is worked out once, when it is needed.

    Attributes:
        data, out, left_out, split, most, draws: as the command was given them.
        recipe: how the pipelines are run.
        refused: by stream and source, pictures of single cells that gave no result; filled as they are asked.
    """

    data: Path
    out: Path
    left_out: Path | None
    split: str
    most: int | None
    draws: int
    recipe: Recipe
    refused: dict[str, dict[str, int]] = field(default_factory=dict)

    def figures(self, tasks: Sequence[str]) -> dict[str, Any]:
        """Work out the figures of the tasks, with what they were made of."""
        product = {task: self._product(task) for task in tasks if task != "left-out"}
        document: dict[str, Any] = {"made_of": self.made_of(), "product": product, "left_out": {}}
        if self.left_out is not None and "left-out" in tasks:
            document["left_out"] = self._left_out()
        return document

    def made_of(self) -> dict[str, Any]:
        """Hashes of weights, configuration, site and tables."""
        from hema_stream import __version__
        from hema_stream.service.build import configuration_identity

        named = [name.format(split=self.split) for name in TABLES]
        tables = {name: file_hash(self.data / name) for name in named if (self.data / name).exists()}
        tables |= {f"left out: {stream}": file_hash(path) for stream, path in self._tables.items()}
        recipe = self.recipe
        return {
            "software": f"hema-stream {__version__}",
            "models": recipe.models("points"),
            "configuration": configuration_identity("points", recipe.profile, recipe.for_pipeline("points")),
            "site": recipe.site_identity,
            "profile": recipe.profile,
            "settings": list(recipe.settings),
            "split": self.split,
            "most": self.most,
            "draws": self.draws,
            "tables": tables,
            "without_result": self.refused,
        }

    def _product(self, task: str) -> dict[str, Any]:
        from hema_models.evaluation.scores import by_source

        from hema_stream.cli.evaluate.suite.fields import detection_figures, field_figures

        if task == "white":
            return by_source(self._wbc, self.draws)
        if task == "red":
            return by_source(self._rbc, self.draws) | {"round": self._round(self._rbc)}
        if task == "points":
            return by_source(self._points, self.draws)
        if task == "fields":
            return field_figures(self._fields, self._claims)
        if task == "detection":
            return detection_figures(self.data, self.split, self.recipe, self._kept, self.draws, _say)
        red = red_of_fields(self._fields, len(self._claims.names("rbc")))
        pools = pools_of(red, {"wbc": [self._wbc], "rbc": [self._rbc, self._points]})
        return slide_figures(pools, dict.fromkeys(pools.laboratories, self._claims))

    def _left_out(self) -> dict[str, Any]:
        from hema_models.evaluation.elsewhere import elsewhere, errors_by_laboratory
        from hema_models.evaluation.scores import by_source

        answers, out = self._answers, {}
        for stream, own in answers.items():
            out[stream] = by_source(own, self.draws)
            out[f"{stream}_elsewhere"] = elsewhere(own)
            out[f"{stream}_errors"] = errors_by_laboratory(own)
        if "rbc" in answers:
            out["round"] = self._round(answers["rbc"])
            out["red_unknown"] = _unknown(answers["rbc"])
        if len(answers) == len(STREAMS):
            red = red_of_answers(answers["rbc"], len(self._claims.names("rbc")))
            pools = pools_of(red, {stream: [own] for stream, own in answers.items()})
            out["slides"] = slide_figures(pools, {lab: self._claims_without(lab) for lab in pools.laboratories})
        return out

    def _claims_without(self, lab: str) -> Claims:
        """Claims by rates that were measured in the left-out laboratories but this one, as in a new laboratory."""
        from hema_models.evaluation.elsewhere import elsewhere_rates

        own = [lab, plan()["laboratories"][lab]]
        told = {stream: answers.chosen(~np.isin(answers.sources, own)) for stream, answers in self._answers.items()}
        return replace(self._claims, rates={stream: elsewhere_rates(answers) for stream, answers in told.items()})

    def _round(self, answers: Answers) -> dict[str, Any]:
        """Names of round whole cells, by laboratory, where the labels tell which these are."""
        from hema_models.evaluation.naming import named
        from hema_models.training.crops import ROUND

        out = {}
        asked = plan()
        for lab in (*asked["laboratories"], *asked["round"]):
            own = answers.chosen((answers.sources == lab) & np.isin(answers.labels, [ROUND, "normal"]))
            if len(own):
                out[lab] = named(own.said, own.unknown)
        return out

    @property
    def _kept(self) -> Path:
        return self.out / "answers"

    @property
    def _tables(self) -> dict[str, Path]:
        folder = self.left_out
        found = {} if folder is None else {stream: folder / f"{stream}.csv.gz" for stream in STREAMS}
        return {stream: path for stream, path in found.items() if path.exists()}

    @cached_property
    def _answers(self) -> dict[str, Answers]:
        from hema_models.evaluation.answers import read_answers

        return {stream: read_answers(path, stream) for stream, path in self._tables.items()}

    @cached_property
    def _wbc(self) -> Answers:
        return self._crops("wbc")

    @cached_property
    def _rbc(self) -> Answers:
        return self._crops("rbc")

    def _crops(self, stream: str) -> Answers:
        from hema_stream.cli.evaluate.suite.cells import crops

        answers, self.refused[stream] = crops(stream, self.data, self.split, self.most, self.recipe, self._kept, _say)
        return answers

    @cached_property
    def _points(self) -> Answers:
        from hema_stream.cli.evaluate.suite.cells import points

        return points(self.data, self.split, self.recipe, self._kept, _say)

    @cached_property
    def _fields(self) -> list[Field]:
        from hema_stream.cli.evaluate.suite.fields import analysed

        return analysed(self.data, self.split, list(plan()["laboratories"]), self.recipe, self._kept, _say)

    @cached_property
    def _claims(self) -> Claims:
        from hema_stream.cli.evaluate.suite.claims import Claims

        return Claims(self.recipe.rates(), plan()["beside"])


def _unknown(answers: Answers) -> dict[str, Any]:
    from hema_models.evaluation.naming import share

    sources = sorted(set(answers.sources.tolist()))
    return {
        source: share(int(answers.unknown[answers.sources == source].sum()), int((answers.sources == source).sum()))
        for source in sources
    }


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a document, one line for each list of figures."""
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _say(line: str) -> None:
    click.echo(line, err=True)
