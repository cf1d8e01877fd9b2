"""``hema-stream doctor``: what this machine has, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import click

REINSTALL = "pip install --force-reinstall hema-stream"
LEAST_GIB = 3.5
LIBRARIES = ("torch", "openvino", "onnxruntime", "ultralytics", "timm", "tifffile", "imagecodecs", "numba")
LOADED = (
    ("openslide", "openslide", "pip install --force-reinstall openslide-python openslide-bin"),
    ("opencv", "cv2", "apt-get install libgl1 libglib2.0-0"),
)
"""Libraries that load others of the system; only importing them tells whether these are there."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at; ``remedy`` is empty where nothing needs mending."""

    name: str
    good: bool
    said: str
    remedy: str = ""
    needed: bool = True


@click.command("doctor")
def command() -> None:
    """Say what this machine has, what is missing, and what mends it. Exit code 4 where something needed is missing."""
    findings = [*_machine(), *_libraries(), *_gpu(), *_weights()]
    for finding in findings:
        mark = "ok     " if finding.good else "missing" if finding.needed else "absent "
        remedy = f"  -> {finding.remedy}" if finding.remedy and not finding.good else ""
        click.echo(f"{mark} {finding.name:22} {finding.said}{remedy}")
    if any(not finding.good and finding.needed for finding in findings):
        sys.exit(4)


def _machine() -> Iterator[Finding]:
    yield Finding("python", True, platform.python_version())
    yield Finding("processors", True, str(os.cpu_count()))
    try:
        import psutil
    except ImportError:
        yield Finding("memory", False, "cannot be told: psutil is not installed", REINSTALL)
        return
    memory = psutil.virtual_memory().total / 2**30
    yield Finding("memory", memory >= LEAST_GIB, f"{memory:.1f} GiB", f"{LEAST_GIB:.0f} GiB are wanted: --profile edge")


def _libraries() -> Iterator[Finding]:
    for name in LIBRARIES:
        found = _installed(name)
        yield Finding(name, found, "installed" if found else "not installed", REINSTALL)
    for name, module, remedy in LOADED:
        try:
            version = getattr(importlib.import_module(module), "__version__", "installed")
        except (ImportError, OSError) as error:  # a shared library of the system may be what is missing
            yield Finding(name, False, str(error).partition("\n")[0], remedy)
        else:
            yield Finding(name, True, str(version))
    dali = _installed("nvidia.dali")
    yield Finding("dali", dali, "installed" if dali else "not installed", "pip install 'hema-stream[dali]'", False)


def _gpu() -> Iterator[Finding]:
    try:
        import torch

        named = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
    except (ImportError, OSError):
        named = ""
    yield Finding("gpu", bool(named), named or "no CUDA device; the cpu and edge profiles need none", needed=False)
    cupy = _installed("cupy")
    yield Finding("cupy", cupy, "installed" if cupy else "not installed", "pip install 'hema-stream[gpu]'", False)


def _installed(module: str) -> bool:
    """Whether a module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it is part of is missing
        return False


def _weights() -> Iterator[Finding]:
    from hema_stream.core.errors import ModelError

    try:
        from hema_models.cards import shipped_cards

        cards = shipped_cards()
    except (ImportError, ModelError) as error:
        yield Finding("weights", False, str(error), REINSTALL)
        return
    for card in cards.values():
        try:
            card.verify()
        except ModelError as error:
            yield Finding(f"weights {card.name}", False, error.message, error.remedy, card.shipped)
        else:
            yield Finding(f"weights {card.name}", True, f"sha256 {card.sha256[:16]}")
