"""Building a pipeline of the product from its launch text, a profile and settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from hema_stream import __version__
from hema_stream.core.configs import config_root
from hema_stream.core.profiles import load_properties
from hema_stream.core.report import Identity
from hema_stream.flow import Pipeline, parse_launch
from hema_stream.flow.launch import parse

FIGURELESS = ("service.yaml", "daemon/", "evaluation/")
"""Limits of the service and examples for the daemon, which change no figure."""

BACKENDS = ("openvino", "torch", "onnxruntime")
CLASSIFIERS = ("classify", "classify_rbc", "classify_wbc")
WITH_BACKEND = ("segment", *CLASSIFIERS)


def build_pipeline(
    name: str, profile: str, settings: Sequence[str], defaults: Mapping[str, Mapping[str, Any]] | None = None
) -> Pipeline:
    """Build ``configs/pipelines/<name>.launch``.

    Args:
        settings: ``stage.prop=value``, stronger than the profile, which is stronger than ``defaults``.
    """
    text = launch_text(name)
    stages = [element.name for element in parse(text).elements]
    properties: dict[str, dict[str, Any]] = {stage: dict(values) for stage, values in (defaults or {}).items()}
    for stage, values in load_properties(profile, settings, stages).items():
        properties.setdefault(stage, {}).update(values)
    return parse_launch(text, properties=properties)


def launch_text(name: str) -> str:
    """Read a pipeline's launch text."""
    return (config_root() / "pipelines" / f"{name}.launch").read_text(encoding="utf-8")


def backend_settings(name: str, backend: str | None) -> list[str]:
    """Turn ``--backend`` into settings of the stages that have one."""
    return [] if backend is None else _settings(name, WITH_BACKEND, "backend", backend)


def site_settings(name: str, site: str | None) -> list[str]:
    """Turn ``--site`` into settings of the stages that classify; none where no site is named."""
    return [] if site is None else _settings(name, CLASSIFIERS, "site", site)


def _settings(name: str, stages: Sequence[str], key: str, value: str) -> list[str]:
    present = {element.name for element in parse(launch_text(name)).elements}
    return [f"{stage}.{key}={value}" for stage in stages if stage in present]


def runs_alike(pipeline: Pipeline) -> bool:
    """Whether a repeat gives the same report: so it is on the CPU, where a row's outputs depend on the row alone.

    That is tested for each back end (tests/models/test_backends.py); on another device it has not been.
    """
    return all(getattr(stage, "device", "cpu") == "cpu" for stage in pipeline.topology.stages.values())


def identify_report(pipeline: Pipeline, name: str, profile: str, settings: Sequence[str]) -> None:
    """Tell the pipeline's report stage what makes its figures."""
    report: Any = pipeline["report"]
    report.identity = Identity(
        software=f"hema-stream {__version__}",
        models={},
        configuration=configuration_identity(name, profile, settings),
        panel=report.panel,
        profile=profile,
    )
    report.deterministic = runs_alike(pipeline)


def configuration_identity(name: str, profile: str, settings: Sequence[str]) -> str:
    """SHA-256 over everything that can change a figure: pipeline, properties, taxonomies, panels, limits.

    Properties are what the profile and the settings come to: a profile of one's own counts by what is in it.
    """
    parts: dict[str, Any] = {"pipeline": launch_text(name), "properties": load_properties(profile, settings)}
    for path in sorted(config_root().rglob("*.yaml")):
        if not (name_below := path.relative_to(config_root()).as_posix()).startswith(FIGURELESS):
            parts[name_below] = path.read_text(encoding="utf-8")
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
