"""Features of cells as a file: read as written, and refused where they are something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hema_stream.core.errors import InputError
from hema_stream.core.features import COLUMNS, CellFeatures, read_features, write_features


def made(count: int) -> CellFeatures:
    rng = np.random.default_rng(count)
    rows, keys = np.arange(count, dtype=np.int32), rng.integers(0, 99, (count, 2), np.int32)
    features, answers = rng.normal(size=(count, 7)).astype(np.float16), rng.normal(size=(count, 3)).astype(np.float32)
    return CellFeatures("wbc", "ab" * 32, rows, keys, features, answers)


def write(path: Path, kept: CellFeatures) -> Path:
    with path.open("wb") as handle:
        write_features(handle, kept)
    return path


@pytest.mark.parametrize("count", [0, 1, 40])
def test_what_was_written_is_read(count: int, tmp_path: Path) -> None:
    before = made(count)
    after = read_features(write(tmp_path / "features.npz", before))
    assert after is not None
    assert (after.stream, after.network, len(after)) == ("wbc", "ab" * 32, count)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        assert getattr(after, name).dtype == getattr(before, name).dtype


def test_the_same_cells_make_the_same_bytes(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a", made(9)), write(tmp_path / "b", made(9))
    assert one.read_bytes() == two.read_bytes()


def test_no_file_is_nothing_and_another_file_is_refused(tmp_path: Path) -> None:
    assert read_features(tmp_path / "none.npz") is None
    whole = write(tmp_path / "features.npz", made(9)).read_bytes()
    for wrong in (b"", b"no archive", whole[: len(whole) // 2]):
        (tmp_path / "wrong.npz").write_bytes(wrong)
        with pytest.raises(InputError, match="analyse the slide again"):
            read_features(tmp_path / "wrong.npz")
