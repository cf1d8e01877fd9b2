"""Where images may lie, and what they are called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hema_stream.core.errors import InputError
from hema_stream.service.submission import contained, located, safe_suffix, shown_name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir()
    (made / "a.png").write_bytes(b"x")
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "root-next").mkdir()
    (tmp_path / "root-next" / "b.png").write_bytes(b"x")
    return made


def test_what_lies_within_is_found(root: Path) -> None:
    assert located("a.png", [root]) == root / "a.png"
    assert located(str(root / "a.png"), [root.parent / "root-next", root]) == root / "a.png"
    (root / "within.png").symlink_to(root / "a.png")
    assert located("within.png", [root]) == root / "a.png"


@pytest.mark.parametrize(
    "name", ["../secret.png", "../root-next/b.png", "missing.png", ".", "a.png/x", "out.png", "loop"]
)
def test_what_does_not_is_refused_alike(root: Path, name: str) -> None:
    (root / "out.png").symlink_to(root.parent / "secret.png")
    (root / "loop").symlink_to(root / "loop")
    with pytest.raises(InputError) as refused:
        located(name, [root])
    assert str(refused.value) == str(_refusal(root))


def test_a_pipe_is_no_image(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(InputError):
        contained(root / "pipe", [root])


def test_without_roots_nothing_is_found(root: Path) -> None:
    with pytest.raises(InputError):
        located(str(root / "a.png"), [])


@given(st.text())
def test_a_name_to_show_is_short_and_plain(name: str) -> None:
    shown = shown_name(name)
    assert 0 < len(shown) <= 200
    assert shown.isprintable()
    assert not set(shown) & set("/\\")


@given(st.text())
def test_a_suffix_is_plain_or_nothing(name: str) -> None:
    suffix = safe_suffix(name)
    assert suffix == "" or (suffix[0] == "." and suffix[1:].isalnum() and suffix.isascii())


def _refusal(root: Path) -> InputError:
    with pytest.raises(InputError) as refused:
        contained(root / "nothing", [root])
    return refused.value
