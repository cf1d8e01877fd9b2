"""Profiles: which properties the stages of a pipeline get, from YAML and from ``stage.prop=value`` settings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hema_stream.core.configs import load_config
from hema_stream.core.errors import ConfigError

Properties = dict[str, dict[str, Any]]


def load_properties(profile: str, settings: Iterable[str], stages: Iterable[str] | None = None) -> Properties:
    """Read a profile and lay settings over it.

    Args:
        profile: name of a file in configs/profiles, without ending, or a path of one's own. Its key ``extends`` names
            another, by its path from the profile's own folder, over whose properties its own are laid.
        settings: ``stage.prop=value``, later ones win.
        stages: names of the pipeline's stages; what a profile says of others is left out. A *setting* of a stage
            that is not there is kept, so that the pipeline can refuse it by name.

    Raises:
        ConfigError: no such profile, one that extends itself, or a setting not of that form.
    """
    merged = _profile(profile)
    if stages is not None:
        present = set(stages)
        merged = {stage: values for stage, values in merged.items() if stage in present}
    for setting in settings:
        stage, prop, value = parse_setting(setting)
        merged.setdefault(stage, {})[prop] = value
    return merged


def parse_setting(setting: str) -> tuple[str, str, str]:
    """Take ``stage.prop=value`` apart; ConfigError where it is not of that form."""
    target, equals, value = setting.partition("=")
    stage, dot, prop = target.partition(".")
    if not (equals and dot and stage and prop):
        raise ConfigError("not of the form stage.property=value", place=setting, remedy="such as clean.score=0.6")
    return stage, prop.replace("-", "_"), value


def _profile(profile: str, above: tuple[str, ...] = ()) -> Properties:
    """Read a profile's stages, laid over those of the profile that it extends; ``above`` are those that extend it."""
    path = Path(profile)
    name = str(path.resolve()) if path.suffix in (".yaml", ".yml") else f"profiles/{profile}.yaml"
    if name in above:
        raise ConfigError("a profile extends itself", place=" > ".join([*above, name]), remedy="remove one 'extends'")
    document = load_config(name)
    if not isinstance(document, dict) or not isinstance(document.get("stages"), dict):
        raise ConfigError("a profile is a mapping with the key 'stages'", place=name, remedy="see profiles/cpu.yaml")
    merged = _profile(_beside(name, document["extends"]), (*above, name)) if "extends" in document else {}
    for stage, values in document["stages"].items():
        merged[stage] = merged.get(stage, {}) | (values or {})
    return merged


def _beside(name: str, extended: Any) -> str:
    """Where the profile lies that ``name`` extends: a shipped one by its name, one's own as seen from there."""
    if not isinstance(extended, str):
        raise ConfigError(f"extends={extended!r}", place=name, remedy="name one profile, or the path of one")
    return str(Path(name).parent / extended) if Path(extended).suffix in (".yaml", ".yml") else extended
