"""What made an answer, as hashes: so that a figure can be traced, and an answer used again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hema_stream.core.rates import Rates

TELLING = ("metrics", "notes", "data", "elsewhere", "licence")
"""Fields of a card that change no answer."""
CONVERTED = (".xml", ".onnx")
"""A model without a card: converted already."""
UNUSED = ("panels/", "evaluation/", "profiles/", "daemon/", "service.yaml", "limits.yaml")
"""Configurations that change no answer to a cell; profiles count by the properties that they come to."""


@dataclass(frozen=True)
class Recipe:
    """Which pipelines are run, and how.

    Attributes:
        profile, settings, site: as the command was given them.
    """

    profile: str
    settings: tuple[str, ...]
    site: str | None

    def for_pipeline(self, name: str, more: Sequence[str] = ()) -> tuple[str, ...]:
        """All settings of a pipeline: those of its task and the site first, the person's own last."""
        from hema_stream.service.build import site_settings

        return (*more, *site_settings(name, self.site), *(s for s in self.settings if _stage_in(s, name)))

    def identity(self, name: str, more: Sequence[str] = ()) -> str:
        """SHA-256 over weights, cards, site, pipeline, properties and taxonomies: all that changes a cell's answer."""
        from hema_stream import __version__
        from hema_stream.core.configs import config_root
        from hema_stream.core.profiles import load_properties
        from hema_stream.service.build import launch_text

        settings = self.for_pipeline(name, more)
        told: dict[str, Any] = {
            "version": __version__,
            "pipeline": launch_text(name),
            "properties": load_properties(self.profile, settings),
            "models": self.models(name, more),
            "site": self.site_identity,
        }
        for path in sorted(config_root().rglob("*.yaml")):
            below = path.relative_to(config_root()).as_posix()
            if not below.startswith(UNUSED):
                told[below] = path.read_text(encoding="utf-8")
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()

    def models(self, name: str, more: Sequence[str] = ()) -> dict[str, dict[str, str]]:
        """Stage to the hash of the weights that it runs, and of what its card says of running them."""
        from hema_models.cards import find_card
        from hema_models.weights.state import identity

        from hema_stream.service.build import WITH_BACKEND, build_pipeline

        running: Any = build_pipeline(name, self.profile, self.for_pipeline(name, more))
        out = {}
        for stage in (s for s in WITH_BACKEND if s in running.topology.stages):
            own = running.topology.stages[stage]
            model = own.model or own.stream
            if Path(model).suffix in CONVERTED:
                out[stage] = {"weights": file_hash(Path(model)), "card": ""}
                continue
            card = find_card(model)
            text = card.model_dump_json(exclude=set(TELLING))
            out[stage] = {"weights": identity(card.path), "card": hashlib.sha256(text.encode()).hexdigest()}
        return out

    def rates(self) -> dict[str, Rates]:
        """By stream, how each class of the classifiers that are run did in laboratories left out."""
        from hema_models.cards import find_card

        from hema_stream.service.build import build_pipeline

        stages: Any = build_pipeline("points", self.profile, self.for_pipeline("points")).topology.stages
        out: dict[str, Rates] = {}
        for stage in (stages["classify_rbc"], stages["classify_wbc"]):
            model = stage.model or stage.stream
            out[stage.stream] = {} if Path(model).suffix in CONVERTED else find_card(model).rates
        return out

    @cached_property
    def site_identity(self) -> str | None:
        """Identity of the site's profile; None without a site."""
        if self.site is None:
            return None
        from hema_models.site.store import find_profile

        return find_profile(self.site).identity


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stage_in(setting: str, pipeline: str) -> bool:
    """Whether a setting speaks of a stage of this pipeline: one command runs several."""
    from hema_stream.core.profiles import parse_setting
    from hema_stream.flow.launch import parse
    from hema_stream.service.build import launch_text

    return parse_setting(setting)[0] in {element.name for element in parse(launch_text(pipeline)).elements}
