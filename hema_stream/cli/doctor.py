"""``hema-stream doctor``: what this machine has, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import click


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
    import psutil

    memory = psutil.virtual_memory().total / 2**30
    yield Finding("python", True, platform.python_version())
    yield Finding("processors", True, str(os.cpu_count()))
    yield Finding("memory", memory >= 3.5, f"{memory:.1f} GiB", "4 GiB are needed")


def _libraries() -> Iterator[Finding]:
    reinstall = "pip install --force-reinstall hema-stream"
    for name in ("torch", "openvino", "onnxruntime", "ultralytics", "timm", "openslide", "tifffile", "numba"):
        found = importlib.util.find_spec(name) is not None
        yield Finding(name, found, "installed" if found else "not installed", reinstall)
    try:
        import cv2

        yield Finding("opencv", True, cv2.__version__)
    except ImportError as error:
        yield Finding("opencv", False, str(error), "apt-get install libgl1 libglib2.0-0")
    dali = importlib.util.find_spec("nvidia") is not None and importlib.util.find_spec("nvidia.dali") is not None
    yield Finding("dali", dali, "installed" if dali else "not installed", "pip install 'hema-stream[dali]'", False)


def _gpu() -> Iterator[Finding]:
    import torch

    cuda = torch.cuda.is_available()
    named = torch.cuda.get_device_name(0) if cuda else "no CUDA device; the cpu and edge profiles need none"
    yield Finding("gpu", cuda, named, needed=False)
    cupy = importlib.util.find_spec("cupy") is not None
    yield Finding("cupy", cupy, "installed" if cupy else "not installed", "pip install 'hema-stream[gpu]'", False)


def _weights() -> Iterator[Finding]:
    from hema_models.cards import shipped_cards

    from hema_stream.core.errors import ModelError

    for card in shipped_cards().values():
        try:
            card.verify()
        except ModelError as error:
            yield Finding(f"weights {card.name}", False, error.message, error.remedy, card.shipped)
        else:
            yield Finding(f"weights {card.name}", True, f"sha256 {card.sha256[:16]}")
