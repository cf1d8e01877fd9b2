"""A segmenter of one's own, of the documented signature, where ultralytics cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

SIDE, STRIDE = 1024, 32


class DarkSquares(torch.nn.Module):
    """Calls every 32 px square that is dark a red cell; its one mask prototype is darkness itself."""

    def __init__(self) -> None:
        super().__init__()
        ticks = (torch.arange(SIDE // STRIDE) + 0.5) * STRIDE
        y, x = torch.meshgrid(ticks, ticks, indexing="ij")
        side = torch.full_like(x, STRIDE)
        self.register_buffer("places", torch.stack([x, y, side, side])[None])

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        dark = 0.7 - images.mean(dim=1, keepdim=True)
        score = (torch.nn.functional.avg_pool2d(dark, STRIDE) * 6).clamp(0, 1)
        places = self.places.expand(len(images), -1, -1, -1)
        detections = torch.cat([places, score, score * 0, score * 0, score * 0 + 1], dim=1).flatten(2)
        return detections, torch.nn.functional.avg_pool2d(dark, 4) * 20


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same tiny network as an ONNX and as an OpenVINO file."""
    import openvino as ov

    folder = tmp_path_factory.mktemp("models")
    module, zeros = DarkSquares().eval(), torch.zeros(1, 3, SIDE, SIDE)
    torch.onnx.export(module, (zeros,), str(folder / "tiny.onnx"), dynamo=False)
    ov.save_model(ov.convert_model(module, example_input=zeros, input=[(1, 3, SIDE, SIDE)]), folder / "tiny.xml")
    return {"onnx": folder / "tiny.onnx", "xml": folder / "tiny.xml"}


@pytest.fixture
def without_ultralytics(tmp_path: Path) -> dict[str, str]:
    """An environment in which importing ultralytics fails, in worker processes too."""
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "ultralytics.py").write_text("raise ImportError('no module named ultralytics')\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path / "blocked"), "HEMA_STREAM_CACHE": str(tmp_path / "cache")}


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """Thirty discs on the network's own grid, at its own scale."""
    pixels = np.full((640, 640, 3), 225, np.uint8)
    for number in range(30):
        row, column = divmod(number, 6)
        centre = (int((3 * column + 1.5) * STRIDE), int((3 * row + 1.5) * STRIDE))
        cv2.circle(pixels, centre, 15, (110, 70, 150), -1, cv2.LINE_AA)
    path = tmp_path / "discs.png"
    cv2.imwrite(str(path), pixels)
    return path


def analyze(slide: Path, out: Path, environment: dict[str, str], *settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hema_stream.cli", "analyze", str(slide), "-o", str(out), "--mpp", "0.25"]
    for setting in settings:
        command += ["--set", setting]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, env=environment)


@pytest.mark.parametrize(("form", "backend"), [("onnx", "onnxruntime"), ("onnx", "openvino"), ("xml", "openvino")])
def test_it_is_run_by_path(
    models: dict[str, Path], form: str, backend: str, slide: Path, tmp_path: Path, without_ultralytics: dict[str, str]
) -> None:
    done = analyze(
        slide, tmp_path / "out", without_ultralytics, f"segment.model={models[form]}", f"segment.backend={backend}"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "discs" / "report.json").read_text())
    assert report["summary"]["rbc_count"] == report["summary"]["total_cells"] == 30
    boxes = np.array([cell["bbox"] for cell in report["cell_detections"]])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    np.testing.assert_allclose(centres % (3 * STRIDE), 1.5 * STRIDE, atol=1.0)


def test_the_shipped_one_says_what_it_needs(slide: Path, tmp_path: Path, without_ultralytics: dict[str, str]) -> None:
    done = analyze(slide, tmp_path / "out", without_ultralytics)
    assert done.returncode == 4
    assert "ultralytics is not installed" in done.stderr
    assert "segment.model=" in done.stderr
    assert "Traceback" not in done.stderr
