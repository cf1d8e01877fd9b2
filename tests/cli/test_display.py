"""What a person and a script see while images are analysed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from smear import calibration, mixed, result_of

from hema_stream.cli.lines import closing_line, complaint, differential, outcome_line, standing_line
from hema_stream.cli.progress import JsonLines, LiveBars, PlainLines, shortened
from hema_stream.clinical.compose import Composer
from hema_stream.clinical.panel import load_panel
from hema_stream.core.cells import Kind
from hema_stream.core.errors import InputError
from hema_stream.core.report import Identity, ReportHead
from hema_stream.core.result import TallyResult
from hema_stream.core.slide import InputImage, ScaleSource
from hema_stream.service.analysis import Finished, Standing

OUT = Path("out")
IMAGE = InputImage("field", Path("in/field.png"))
STANDING = Standing(ended=3, planned=16, cells=1268, white={"neutrophil_segmented": 7, "monocyte": 3, "blast": 0})
BLANK = InputError("is blank", place="in/field.png", remedy="scan a place with cells", code="blank")
WHITE = [(Kind.WBC, "monocyte")] * 3 + [(Kind.WBC, "erythroblast")]


def head_of(result: TallyResult) -> ReportHead:
    identity = Identity(software="", models={}, configuration="", panel="default", profile="cpu")
    return Composer(load_panel(), identity, True).head(result)


def done(result: TallyResult | None = None, status: str = "done", image: InputImage = IMAGE) -> Finished:
    return Finished(image, status, head_of(result or result_of([(Kind.RBC, "normal")] * 5 + WHITE)))


class TestLines:
    def test_flags_and_candidates_have_a_line_each_with_their_figures(self) -> None:
        result = result_of([(Kind.RBC, "normal")] * 98 + [(Kind.RBC, "schistocyte")] * 2)
        first, line = outcome_line(done(result), OUT).splitlines()
        assert first.endswith("-> out/field")
        few = "100 cells are too few to tell: 500 are wanted"
        assert line == f"    candidate: Cells that look like fragments: look at them (2 of 100 cells; {few})"

    def test_red_cells_of_which_too_many_are_unknown_are_not_graded(self) -> None:
        result = result_of([(Kind.RBC, "normal")] * 10)
        unsure = replace(result, unknown=np.arange(10) < 5)
        assert outcome_line(done(unsure), OUT).endswith("morphology not gradable: 50 % of the red cells are unknown")

    def test_what_was_found_and_where_it_lies(self) -> None:
        assert outcome_line(done(), OUT).splitlines()[0] == (
            "field: 9 cells, 5 red, 4 white (3 classified: monocyte 100%), 0 platelets -> out/field"
        )

    def test_what_is_to_be_known_before_the_figures_are_used(self) -> None:
        measured = calibration(0.19, ScaleSource.ESTIMATED, warnings=("small", "no_scale", "low_focus"))
        line = outcome_line(done(result_of([], measured=measured)), OUT)
        assert line.endswith("[small picture; out of focus; scale estimated: 0.19 um a pixel]")

    def test_a_partial_report_says_why(self) -> None:
        tiles = {"analysed": 3, "background": 0, "rejected": 0, "gap": 2, "cancelled": 0}
        line = outcome_line(done(result_of([], tiles=tiles)), OUT)
        assert "[PARTIAL: tiles were lost to a failure, 2 of 5]" in line

    def test_a_refusal_names_place_code_and_remedy_once(self) -> None:
        line = complaint(Finished(IMAGE, "rejected", error=BLANK))
        assert line == "rejected: in/field.png: is blank [blank] (scan a place with cells)"

    def test_an_error_that_names_no_file_is_put_to_one(self) -> None:
        assert complaint(Finished(IMAGE, "failed", error=RuntimeError("odd"))) == "failed: in/field.png: odd"

    def test_the_differential_names_its_denominator(self) -> None:
        assert differential(STANDING.white) == "10 classified: neutrophil segmented 70%, monocyte 30%"
        assert differential({}) == ""
        assert differential(dict.fromkeys("abcdef", 1)).count("%") == 4

    def test_where_a_slide_stands(self) -> None:
        assert standing_line(STANDING) == (
            "3/16 tiles  1,268 cells  white 10 classified: neutrophil segmented 70%, monocyte 30%"
        )

    def test_how_all_of_them_ended(self) -> None:
        partial = done(result_of([], status="partial"), "cancelled")
        outcomes = [done(), done(), partial, Finished(IMAGE, "rejected", error=BLANK), Finished(IMAGE, "cancelled")]
        note, ended = closing_line(outcomes[:2], OUT, interrupted=False).splitlines()
        assert ended == "2 done; results in out"
        assert note.startswith("not calibrated to this laboratory; expect")
        assert closing_line([Finished(IMAGE, "cancelled")], OUT, interrupted=False) == (
            "1 not analysed; results in out"
        )
        assert closing_line(outcomes, OUT, interrupted=True).splitlines()[-1] == (
            "interrupted: 2 done, 1 partial, 1 rejected, 1 not analysed; results in out; "
            "run it again for those not analysed"
        )


class TestJson:
    def line(self, capsys: pytest.CaptureFixture[str], outcome: Finished) -> dict[str, Any]:
        display = JsonLines()
        display.progressed("field", STANDING)
        display.finished(outcome)
        display.close(interrupted=False)
        caught = capsys.readouterr()
        assert caught.err == ""
        [text] = caught.out.splitlines()
        found: dict[str, Any] = json.loads(text)
        return found

    def test_a_summary(self, capsys: pytest.CaptureFixture[str]) -> None:
        line = self.line(capsys, done())
        assert (line["id"], line["path"], line["status"], line["report"]) == (
            "field",
            "in/field.png",
            "done",
            "complete",
        )
        assert line["summary"]["wbc_count"] == 4
        assert line["warnings"] == []

    def test_an_input_that_was_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        line = self.line(capsys, Finished(InputImage("", Path("in/field.png")), "rejected", error=BLANK))
        assert (line["id"], line["status"], line["code"]) == (None, "rejected", "blank")
        assert line["error"].startswith("in/field.png: is blank")

    def test_flags_candidates_and_site_go_by_their_codes(self, capsys: pytest.CaptureFixture[str]) -> None:
        line = self.line(capsys, done())
        assert set(line["flags"]) == {"insufficient_cells"}
        assert (line["candidates"], line["site"]) == (["nrbc_present"], None)


class TestPlain:
    def test_results_on_standard_output_and_refusals_on_the_other(self, capsys: pytest.CaptureFixture[str]) -> None:
        display = PlainLines(3, OUT)
        display.finished(done())
        display.finished(Finished(IMAGE, "rejected", error=BLANK))
        display.finished(Finished(IMAGE, "cancelled"))
        display.close(interrupted=True)
        caught = capsys.readouterr()
        assert caught.err.splitlines() == ["rejected: in/field.png: is blank [blank] (scan a place with cells)"]
        first, candidate, note, last = caught.out.splitlines()
        assert first.startswith("[1/3] field: 9 cells")
        assert candidate.startswith("    candidate: Cells that look like nucleated red cells")
        assert note.startswith("not calibrated to this laboratory")
        assert last.startswith("interrupted: 1 done, 1 rejected, 1 not analysed")

    def test_a_slide_that_takes_long_is_told_now_and_then(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        times = iter([0.0, 4.0, 11.0, 12.0, 22.0])
        monkeypatch.setattr("hema_stream.cli.progress.monotonic", lambda: next(times))
        display = PlainLines(1, OUT)
        for _ in range(5):
            display.progressed("field", STANDING)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 2
        assert lines[0].startswith("field: 3/16 tiles  1,268 cells  white 10 classified")

    def test_a_reader_that_has_gone_away_stops_nothing(self) -> None:
        code = (
            "import sys, time\n"
            "from hema_stream.cli.progress import say\n"
            "for n in range(200): say('line'); time.sleep(0.005)\n"
            "print('went on', file=sys.stderr)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read().splitlines() == ["went on"]
        assert process.wait(20) == 0


class TestLive:
    def screen(self, act: Any, width: int = 150) -> str:
        text = StringIO()
        console = Console(file=text, force_terminal=True, width=width, color_system=None)
        with LiveBars(4, OUT, console) as live:
            act(live)
            live._bars.refresh()
            shown = text.getvalue()
        return shown

    def test_a_bar_shows_tiles_cells_differential_and_time_left(self) -> None:
        shown = self.screen(lambda live: live.progressed("field", STANDING))
        last = [line for line in shown.splitlines() if "field" in line][-1]
        assert "3/16 tiles  1,268 cells  white 10 classified: neutrophil segmented 70%, monocyte 30%" in last
        assert last.rstrip().endswith("left")
        assert "loading the models" not in shown.splitlines()[-1]

    def test_before_the_first_tile_it_says_what_is_waited_for(self) -> None:
        refused = Finished(InputImage("", Path("in/field.png")), "rejected", error=BLANK)
        assert "1/4  loading the models" in self.screen(lambda live: live.finished(refused)).splitlines()[-1]

    def test_the_bar_of_all_images_moves_with_those_under_way(self) -> None:
        def act(live: LiveBars) -> None:
            live.progressed("field", replace(STANDING, ended=8))
            live.finished(done(image=InputImage("other", Path("other.png"))))
            [whole] = [task for task in live._bars.tasks if task.description == "images"]
            assert (whole.completed, whole.total) == (1.5, 4)

        shown = self.screen(act)
        assert "1/4" in shown
        assert "other" not in shown.splitlines()[-1]

    def test_a_finished_image_leaves_its_line_and_no_bar(self) -> None:
        def act(live: LiveBars) -> None:
            live.progressed("field", STANDING)
            live.finished(done())
            assert [task.description for task in live._bars.tasks] == ["images"]
            live.close(interrupted=False)

        shown = self.screen(act)
        assert "field: 9 cells, 5 red" in shown
        assert "1 done; results in out" in shown

    def test_names_with_brackets_are_no_markup(self) -> None:
        image = InputImage("a[red]b", Path("in/a[red]b.png"))
        assert "in/a[red]b.png: odd" in self.screen(
            lambda live: live.finished(Finished(image, "failed", error=RuntimeError("odd")))
        )


def test_a_long_name_keeps_its_end() -> None:
    names = [f"{'slide-of-a-long-series-' * 2}{number}" for number in (1, 2)]
    short = [shortened(name) for name in names]
    assert short[0] != short[1]
    assert all(len(name) <= 24 for name in short)


def test_large_counts_are_grouped() -> None:
    result = mixed(1500)
    assert np.unique(result.cells.kind).size == 3
    assert "1,500 cells" in outcome_line(done(result), OUT)
