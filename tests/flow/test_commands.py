"""Line 19: ``launch``, ``inspect`` and ``graph``, with a third party's stage found over its entry point."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hema_stream.flow import LaunchSyntaxError, PipelineError, parse_launch
from hema_stream.flow.graph import to_dot
from hema_stream.flow.launch import parse
from hema_stream.flow.props import prop
from hema_stream.flow.registry import Registry
from hema_stream.flow.stage import Transform
from hema_stream.flow.svg import to_svg
from stages import Gather, Numbers, PassLoop, Slow

THIRD_PARTY = Path(__file__).parent / "thirdparty"
SKETCH = """
# comments and several lines
fakesrc num-buffers=5 ! tee name=t
t. ! queue max-size-buffers=3 name=one ! fakesink name=a      t. ! identity name=two ! b.
fakesink name=b
"""


def hema_stream(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hema_stream.cli", *args]
    environment = {**os.environ, "PYTHONPATH": str(THIRD_PARTY)}
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment, check=False)


def test_a_third_partys_stage_is_launched_inspected_and_drawn() -> None:
    launched = hema_stream("launch", "fakesrc num-buffers=4 ! multiply times=3 ! fakesink", "--statistics")
    assert launched.returncode == 0, launched.stderr
    assert "slide-0: done" in launched.stdout
    assert "multiply                4 calls" in launched.stdout
    shown = hema_stream("inspect", "multiply").stdout
    for part in ("thirdparty.Multiply", "times", "int, 1..100, default 2 times", "sink", "src", "Caps('ANY')"):
        assert part in shown
    assert '"fakesrc" -> "multiply"' in hema_stream("graph", "fakesrc ! multiply ! fakesink").stdout
    refused = hema_stream("launch", "fakesrc ! multiply times=101 ! fakesink")
    assert refused.returncode == 2
    assert "multiply.times='101': allowed 1..100 times" in refused.stderr


def test_a_plug_in_that_cannot_be_imported_is_named_with_its_distribution() -> None:
    done = hema_stream("launch", "fakesrc ! broken ! fakesink")
    assert done.returncode == 2
    assert "'broken' of thirdparty cannot be imported" in done.stderr


async def test_the_sketchs_grammar_runs() -> None:
    pipeline = parse_launch(SKETCH, properties={"b": {}})
    assert [str(link) for link in pipeline.topology.links] == [
        "fakesrc.src -> t.sink",
        "t.src_0 -> one.sink",
        "one.src -> a.sink",
        "t.src_1 -> two.sink",
        "two.src -> b.sink",
    ]
    assert [link.max_items for link in pipeline.topology.links] == [64, 3, 64, 64, 64]
    await pipeline.run()
    assert (pipeline["a"].count, pipeline["b"].count) == (5, 5)  # type: ignore[attr-defined]


def test_a_text_written_back_parses_to_the_same() -> None:
    text = """one colour='dark blue' path="a'b" empty='' ! two name=x  x.extra ! one.  """
    assert parse(parse(text).text()) == parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a ! ! b", "line 1, column 5: found '!'"),
        ("a !\n  b x=1 !", "line 2, column 9: the text ends"),
        ("a ! nowhere.sink", "line 1, column 5: 'nowhere.sink' refers to no stage"),
        ("a name=b ! c name=b", "a second stage is called 'b'"),
        ("a x='1 ! b", "column 5: found"),
    ],
)
def test_a_text_that_does_not_parse_says_where(text: str, said: str) -> None:
    with pytest.raises(LaunchSyntaxError, match=said.replace("(", r"\(")):
        parse(text)


def test_the_registry_suggests_names_that_are_near() -> None:
    with pytest.raises(PipelineError, match="did you mean identity"):
        Registry().load("identiy")


async def test_the_graph_shows_live_depths(chain) -> None:
    pipeline = chain(Numbers(slides={"a": 100}), PassLoop("p"), Slow("slow", delay=0.05), max_items=4)
    assert "high" not in to_dot(pipeline)
    async with pipeline:
        while not pipeline.statistics()["links"]["p.src -> slow.sink_0"].depth:
            await asyncio.sleep(0.01)
        drawn = to_dot(pipeline)
        assert any(f'"p" -> "slow" [label="src > sink_0\\nANY\\n{n}/4' in drawn for n in range(1, 5)), drawn
        await pipeline.cancel_all()


@pytest.mark.parametrize("name", ["live.svg", "live.dot"])
def test_launch_keeps_a_drawing_of_the_running_pipeline(tmp_path: Path, name: str) -> None:
    done = hema_stream("launch", "fakesrc ! identity name=middle ! fakesink", "--graph", str(tmp_path / name))
    assert done.returncode == 0, done.stderr
    drawn = (tmp_path / name).read_text()
    assert "0/64, high" in drawn
    assert "middle" in drawn
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_svg_needs_no_program_beside(tmp_path: Path) -> None:
    pipeline = parse_launch(SKETCH)
    root = ElementTree.fromstring(to_svg(pipeline))
    boxes = {(box.get("x"), box.get("y")) for box in root.iter("{http://www.w3.org/2000/svg}rect")}
    assert len(boxes) == len(pipeline.topology.stages)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == len(pipeline.topology.links) + 1
    assert hema_stream("graph", "--format", "svg", "-o", str(tmp_path / "smear.svg")).returncode == 0
    assert ElementTree.parse(tmp_path / "smear.svg").getroot().tag.endswith("svg")


def test_a_property_is_of_its_declared_type() -> None:
    class Typed(Transform):
        wait: float = prop(0.05, doc="of an item", unit="s", ge=0.0)
        on: bool = prop(False, doc="whether")
        room: int = prop(1, doc="bytes", unit="B")

    stage = Typed("t", wait="50ms", on="yes", room="2KiB")
    assert (stage.wait, stage.on, stage.room) == (0.05, True, 2048)
    assert isinstance(Gather("g"), Gather)
