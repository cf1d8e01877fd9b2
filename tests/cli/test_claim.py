"""Two runs never write into one folder, and what a run leaves is either whole or free."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hema_stream.cli.claim import LOCK, Claims, claimed
from hema_stream.core.errors import OutputError
from hema_stream.core.slide import InputImage

IMAGES = [InputImage(name, Path(f"in/{name}.png")) for name in ("a", "b")]


def elsewhere(out: Path, *ids: str) -> subprocess.Popen[str]:
    """Another run that claims folders and holds them until its input ends."""
    program = """
        import sys
        from pathlib import Path
        from hema_stream.cli.claim import Claims
        from hema_stream.core.slide import InputImage
        with Claims(Path(sys.argv[1])) as claims:
            for name in sys.argv[2:]:
                claims.take(InputImage(name, Path(name)), False)
            print("claimed", flush=True)
            sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(out), *ids]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    return process


def codes(out: Path, force: bool = False) -> dict[str, str]:
    with claimed(out, IMAGES, force) as (free, taken):
        return {image.id: "free" for image in free} | {image.id: str(error.code) for image, error in taken}


@pytest.mark.parametrize("force", [False, True])
def test_what_another_run_writes_to_is_left_alone_also_by_force(tmp_path: Path, force: bool) -> None:
    out = tmp_path / "out"
    other = elsewhere(out, "a")
    assert codes(out, force) == {"a": "claimed", "b": "free"}
    other.communicate("")
    assert codes(out, force) == {"a": "free", "b": "free"}


def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    other = elsewhere(tmp_path, "a", "b")
    other.kill()
    other.communicate()
    (tmp_path / "b" / ".report.json.99.0.partial").write_text("half")
    assert codes(tmp_path) == {"a": "free", "b": "free"}


def test_results_and_foreign_files_are_kept_without_force(tmp_path: Path) -> None:
    for image, name in zip(IMAGES, ("report.json", "notes.txt"), strict=True):
        (tmp_path / image.id).mkdir()
        (tmp_path / image.id / name).write_text("mine")
    assert codes(tmp_path) == {"a": "exists", "b": "exists"}
    assert codes(tmp_path, force=True) == {"a": "free", "b": "free"}


def test_an_empty_folder_of_somebodys_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert codes(tmp_path) == {"a": "exists", "b": "free"}


def test_what_was_made_and_not_filled_goes_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with claimed(out, IMAGES, False) as (free, _):
        assert free == IMAGES
        (out / "a" / "report.json").write_text("{}")
    assert {path.name for path in out.rglob("*")} == {"a", "report.json"}
    with claimed(tmp_path / "never", IMAGES, False):
        pass
    assert not (tmp_path / "never").exists()


def test_a_run_that_ends_takes_no_claim_from_one_that_goes_on(tmp_path: Path) -> None:
    first = elsewhere(tmp_path, "a")
    second = elsewhere(tmp_path, "b")
    first.communicate("")
    assert codes(tmp_path) == {"a": "free", "b": "claimed"}
    assert (tmp_path / LOCK).exists()
    second.communicate("")


def test_many_images_cost_one_descriptor(tmp_path: Path) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    with Claims(tmp_path) as claims:
        for number in range(300):
            claims.take(InputImage(str(number), Path("x.png")), False)
        assert descriptors() == before + 1
    assert descriptors() == before


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError) as caught, claimed(tmp_path / "file" / "out", IMAGES, False):
        pass
    assert str(tmp_path / "file") in caught.value.place
