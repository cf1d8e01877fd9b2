"""One owner of a folder: a second process is refused with the first one's id, and the folder is free when it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hema_stream.service import owner
from hema_stream.service.app import make_app
from hema_stream.service.owner import OwnedError, Owner
from hema_stream.service.settings import ServiceSettings

HOLDING = """
import sys
from pathlib import Path
from hema_stream.service.owner import Owner
mine = Owner(Path(sys.argv[1]))
mine.take()
print("taken", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_with_the_firsts_id_until_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"taken\n"
        with pytest.raises(OwnedError, match=f"process {first.pid} works on it"):
            Owner(tmp_path).take()
        first.kill()
    mine = Owner(tmp_path)
    mine.take()
    mine.take()
    assert list(tmp_path.iterdir()) == []


def test_what_was_let_go_of_can_be_taken(tmp_path: Path) -> None:
    first, second = Owner(tmp_path), Owner(tmp_path)
    first.take()
    with pytest.raises(OwnedError):
        second.take()
    first.let_go()
    second.take()


def test_where_a_folder_cannot_be_locked_a_file_in_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, folders = owner._lock, []

    def as_on_nfs(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve().is_dir():
            folders.append(descriptor)
            raise OSError(9, "bad file descriptor")
        plain(descriptor)

    monkeypatch.setattr(owner, "_lock", as_on_nfs)
    first = Owner(tmp_path)
    first.take()
    with pytest.raises(OwnedError):
        Owner(tmp_path).take()
    assert len(folders) == 2


async def test_a_second_service_on_the_same_data_is_refused(settings: ServiceSettings, started: object) -> None:
    async with started(settings):  # type: ignore[operator]
        with pytest.raises(OwnedError):
            await make_app(settings)
