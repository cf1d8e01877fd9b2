"""Commands that need no images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hema_stream.cli import group


def run(*args: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hema_stream.cli", *args], capture_output=True, text=True, timeout=100, **options
    )


def test_launch_runs_a_line_of_text() -> None:
    done = run("launch", "fakesrc num-buffers=5 slides=2 ! identity ! fakesink", "--statistics")
    assert done.returncode == 0
    assert "slide-1: done" in done.stdout
    assert "identity               10 calls" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fakesrc ! nosuch ! fakesink", "no stage is registered as 'nosuch'"),
        ("fakesrc ! identiy ! fakesink", "did you mean identity?"),
        ("fakesrc num-buffers=many ! fakesink", "num_buffers='many': expected 0.."),
        ("fakesrc num-buffers=-1 ! fakesink", "allowed 0.."),
        ("fakesrc colour=red ! fakesink", "no property 'colour'"),
        ("fakesrc ! ! fakesink", "line 1, column 11: found '!' where a stage was expected"),
        ("fakesrc !", "the text ends where a stage was expected"),
        ("fakesrc ! identity", "identity.src is not linked"),
    ],
)
def test_launch_says_what_is_wrong(text: str, said: str) -> None:
    done = run("launch", text)
    assert done.returncode == 2
    assert said in done.stderr


def test_inspect_lists_and_shows() -> None:
    assert "segment" in run("inspect").stdout
    shown = run("inspect", "clean").stdout
    assert "min-solidity" in shown
    assert "0.0..1.0, default 0.7" in shown
    assert "on error: gap" in shown


def test_graph_draws_the_smear_pipeline() -> None:
    drawn = run("graph").stdout
    assert drawn.startswith("digraph pipeline {")
    assert '"dedupe" -> "rbc"' in drawn


def test_models_shows_cards_with_licences() -> None:
    shown = run("models").stdout
    for name in ("yolo11n-seg", "rbc", "wbc"):
        assert f"{name}:" in shown
    assert "AGPL-3.0" in shown
    for name in ("rbc", "wbc"):
        [line] = [line for line in shown.splitlines() if line.startswith(f"{name}: ")]
        assert "research use" in line
    card = json.loads(run("models", "wbc").stdout)
    assert len(card["classes"]) == 12


def test_evaluate_says_what_each_of_its_commands_does() -> None:
    shown = run("evaluate", "--help").stdout
    for name, said in (("detect", "COCO"), ("classify", "One cell a picture"), ("points", "centres")):
        assert any(line.split()[0] == name and said in line for line in shown.splitlines() if line.strip())


@pytest.mark.parametrize("mpp", ["40", "250", "nan", "inf", "-inf", "0.000001", "0", "x"])
@pytest.mark.parametrize("command", [("analyze", "x.png", "-o", "y"), ("scan-sim", "x.png")])
def test_a_scale_that_can_be_none_is_a_usage_error(command: tuple[str, ...], mpp: str) -> None:
    done = CliRunner().invoke(group, [*command, "--mpp", mpp])
    assert done.exit_code == 2
    assert "--mpp" in done.stderr


@pytest.mark.parametrize("args", [("nosuch",), ("analyze",), ("analyze", "x.png", "-o", "y", "--mpp", "0"), ("train",)])
def test_usage_errors(args: tuple[str, ...]) -> None:
    done = run(*args)
    assert done.returncode == 2
    assert "Usage: hema-stream" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        ("KeyboardInterrupt()", 130, "interrupted"),
        ("RuntimeError('odd')", 4, "error: RuntimeError: odd (a defect of hema-stream"),
        ("ModelError('gone', place='w', remedy='train')", 4, "error: w: gone [model] (train)"),
        ("ConfigError('wrong', place='p.yaml')", 2, "error: p.yaml: wrong [config]"),
    ],
)
def test_whatever_goes_wrong_has_a_line_and_a_code(raised: str, code: int, said: str) -> None:
    """The codes are those of analyze, for every command."""
    program = (
        "import sys\n"
        "from hema_stream import cli\n"
        "from hema_stream.core.errors import ConfigError, ModelError\n"
        "def fail(*args):\n"
        f"    raise {raised}\n"
        "cli.LazyGroup.get_command = fail\n"
        "sys.argv = ['hema-stream', 'doctor']\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert done.stderr.splitlines()[-1].startswith(said)


def test_doctor_finds_what_is_needed() -> None:
    done = run("doctor")
    assert done.returncode == 0, done.stdout
    assert "weights rbc" in done.stdout


def test_the_gpu_profile_refuses_with_the_command_that_trains(tmp_path: Path) -> None:
    field = Path(__file__).parents[2] / "examples" / "fields" / "pbc-basophil.png"
    done = run("analyze", str(field), "-o", str(tmp_path), "--profile", "gpu")
    assert done.returncode == 4
    assert "hema-stream train" in done.stderr


def test_a_third_partys_stage_is_used_by_name(tmp_path: Path) -> None:
    (tmp_path / "thirdparty.py").write_text(
        "from hema_stream.flow import Transform, loop, prop\n"
        "class Double(Transform):\n"
        '    """Twice the number."""\n'
        "    runs_on = loop()\n"
        "    times: int = prop(2, doc='factor')\n"
        "    def process(self, item, state):\n"
        "        return item * self.times\n"
    )
    info = tmp_path / "thirdparty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hema_stream.stages]\ndouble = thirdparty:Double\n")
    import os

    done = run("launch", "fakesrc ! double times=3 ! fakesink", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "Twice the number." in run("inspect", env={**os.environ, "PYTHONPATH": str(tmp_path)}).stdout
