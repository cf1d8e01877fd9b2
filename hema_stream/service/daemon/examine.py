"""Whether a configuration fits this machine: folders are there, certificates load, the pipeline takes its settings."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from hema_stream.core.errors import HemaError
from hema_stream.core.faults import Document, Fault, Key
from hema_stream.core.profiles import load_properties, parse_setting
from hema_stream.flow import FlowError
from hema_stream.service.build import build_pipeline
from hema_stream.service.daemon.config import DaemonConfig, TlsConfig
from hema_stream.service.warm import NAME
from hema_stream.service.watch import Claims, WatchError

SPARE = 5.0
"""Seconds that the end itself takes, past what slides and calls in flight get."""


def examine(config: DaemonConfig, document: Document) -> list[Fault]:
    """Everything that would go wrong at the start, or at the stop."""
    return [document.fault(key, message) for key, message in _found(config)]


def _found(config: DaemonConfig) -> Iterator[tuple[Key, str]]:
    if not _can_be_made(config.data):
        yield ("data",), "is no folder that can be written to or made by this user"
    for number, root in enumerate(config.roots):
        if not root.is_dir():
            yield ("roots", number), "no such folder"
    yield from _folders(config)
    if config.listen.tls:
        yield from _tls(config.listen.tls)
    yield from _pipeline(config)
    least = config.stop.finish + config.limits.jobs.grace + SPARE
    if config.stop.within < least:
        parts = f"finish {config.stop.finish:g}, limits.jobs.grace {config.limits.jobs.grace:g}, {SPARE:g} to end"
        yield ("stop", "within"), f"must be at least {least:g} s: {parts}"


def _folders(config: DaemonConfig) -> Iterator[tuple[Key, str]]:
    data = config.data.resolve()
    before: list[Path] = []
    for number, folder in enumerate(config.folders):
        key, path = ("folders", number, "path"), folder.path.resolve()
        if not folder.path.is_dir():
            yield key, "no such folder"
        elif why := _cannot_be_claimed_in(folder.path, config):
            yield key, f"files cannot be claimed: {why}"
        if _overlap(path, data):
            yield key, "must not lie within data, nor data within it"
        if any(_overlap(path, other) for other in before):
            yield key, "must not lie within another watched folder, nor be one"
        before.append(path)


def _cannot_be_claimed_in(folder: Path, config: DaemonConfig) -> str:
    """Why not; empty where they can."""
    try:
        Claims(folder, config.limits.watch).try_out()
    except WatchError as error:
        return error.message
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _tls(tls: TlsConfig) -> Iterator[tuple[Key, str]]:
    key: Key = ("listen", "tls")
    for name in ("certificate", "key"):
        if not os.access(getattr(tls, name), os.R_OK):
            yield (*key, name), "no such file, or this user may not read it"
            return
    try:
        tls_context(tls)
    except (ssl.SSLError, OSError) as error:
        yield (*key, "certificate"), f"certificate and key do not load: {error}"


def tls_context(tls: TlsConfig) -> ssl.SSLContext:
    """A server's context.

    Raises:
        ssl.SSLError, OSError: the files are none, or do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.certificate, tls.key)
    return context


def _pipeline(config: DaemonConfig) -> Iterator[tuple[Key, str]]:
    try:
        load_properties(config.profile, ())
    except HemaError as error:
        yield ("profile",), str(error)
        return
    wrong = False
    for number, setting in enumerate(config.settings):
        try:
            parse_setting(setting)
        except HemaError as error:
            wrong = True
            yield ("settings", number), str(error)
    if wrong:
        return
    try:
        build_pipeline(NAME, config.profile, config.settings)
    except (HemaError, FlowError) as error:
        yield ("settings" if config.settings else "profile",), str(error)


def _can_be_made(folder: Path) -> bool:
    if folder.exists():
        return folder.is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK)
    above = next(parent for parent in folder.parents if parent.exists())
    return above.is_dir() and os.access(above, os.W_OK | os.X_OK)


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
