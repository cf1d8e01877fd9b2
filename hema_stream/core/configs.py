"""Where profiles, pipelines, taxonomies and panels lie: data that ships with the program."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from hema_stream.core.errors import ConfigError

_PACKAGED = Path(__file__).resolve().parent.parent / "configs"
_CHECKOUT = Path(__file__).resolve().parent.parent.parent / "configs"


def config_root() -> Path:
    """Return the folder of configurations: inside the installed package, else the checkout's own."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


@cache
def load_config(name: str) -> Any:
    """Read a YAML file under the folder of configurations, such as ``taxonomies/wbc.yaml``.

    Raises:
        ConfigError: the file is missing or not valid YAML; names file, line and column.
    """
    import yaml

    path = config_root() / name
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        known = ", ".join(sorted(p.stem for p in path.parent.glob(f"*{path.suffix}")))
        raise ConfigError("no such configuration", place=str(path), remedy=f"known: {known or 'none'}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {error}", place=str(path), remedy="correct the file") from error
