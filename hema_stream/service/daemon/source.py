"""Which source watches the folders."""

from __future__ import annotations

from importlib import import_module

from hema_stream.core.errors import ConfigError
from hema_stream.service.daemon.claims import Watch

MODULE = "hema_stream.service.watch"


def folder_watch() -> Watch:
    """The product's watch.

    Raises:
        ConfigError: it is not part of this installation.
    """
    try:
        watch: Watch = import_module(MODULE).watch
    except ModuleNotFoundError as error:
        remedy = "take 'folders' out of the configuration, or install a hema-stream that has it"
        raise ConfigError(f"folders cannot be watched: {error.name} is missing", remedy=remedy) from error
    return watch
