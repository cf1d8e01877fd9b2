"""Standard streams that are closed or full, and a machine that is short of something."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from hema_stream.cli.lines import printable
from hema_stream.cli.shortage import shortage

CLI = f"{sys.executable} -m hema_stream.cli"


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=100)


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_closed_streams_change_nothing(closed: str) -> None:
    done = shell(f"{CLI} inspect {closed}")
    assert done.returncode == 0
    assert "segment" in done.stdout


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_what_is_printed_onto_nothing_goes_nowhere_else(closed: str, tmp_path: Path) -> None:
    done = shell(f"{CLI} launch 'fakesrc num-buffers=2 ! fakesink' {closed}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_full_standard_output_is_told_and_fails() -> None:
    done = shell(f"{CLI} inspect >/dev/full")
    assert done.returncode == 4
    assert done.stderr == "error: standard output: No space left on device\n"


def test_a_usage_error_stays_one_on_a_full_standard_output() -> None:
    assert shell(f"{CLI} nosuch >/dev/full 2>/dev/full").returncode == 2


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = shell(f"set -o pipefail; {CLI} inspect | head -1")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_pipe_that_does_not_wait_gets_every_line() -> None:
    program = "import os, sys; os.set_blocking(1, False); os.execvp(sys.argv[1], sys.argv[1:])"
    text = "; ".join(["from hema_stream.cli.streams import guard_streams", "out = guard_streams()"])
    text += "; print('x' * 1_000_000); import sys; sys.stdout.flush(); sys.exit(out.lost is not None)"
    done = shell(f"set -o pipefail; {sys.executable} -c '{program}' {sys.executable} -c \"{text}\" | (sleep 1; wc -c)")
    assert (done.returncode, done.stdout.strip()) == (0, "1000001")


def test_letters_that_a_locale_lacks_do_not_stop_a_command() -> None:
    done = shell(f"LC_ALL=C PYTHONCOERCECLOCALE=0 PYTHONUTF8=0 {CLI} inspect clean")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.EMFILE, "Too many open files"),
            "Too many open files (raise the limit",
        ),
        (MemoryError(), "out of memory"),
        (RuntimeError("Exception from core.cpp:117:\ncan't alloc"), "out of memory"),
        (RuntimeError("can't start new thread"), "threads"),
        (OSError(errno.ENOSPC, "No space left on device"), "free space"),
    ],
)
def test_what_the_machine_lacks_is_no_defect(error: Exception, said: str) -> None:
    told = shortage(error)
    assert told is not None
    assert said in told


def test_a_shortage_is_told_however_libraries_wrap_it() -> None:
    error = RuntimeError("Cannot close a running event loop")
    error.__context__ = OSError(errno.EMFILE, "Too many open files")
    assert "ulimit -n" in (shortage(error) or "")


def test_too_little_address_space_is_told_before_libraries_crash(tmp_path: Path) -> None:
    done = shell(f"ulimit -v 800000; {CLI} analyze examples/fields/bccd-00044.png -o {tmp_path / 'out'}")
    assert done.returncode == 4
    assert "ulimit -v" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_defect_is_no_shortage() -> None:
    assert shortage(KeyError("x")) is None
    assert shortage(OSError(errno.EBADF, "Bad file descriptor")) is None


def test_names_of_files_do_not_move_the_cursor() -> None:
    assert printable("a\x1b[2J\nb\udcff ü 血") == "a\\x1b[2J\\nb\\udcff ü 血"
