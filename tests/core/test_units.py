"""Scales that can be one."""

from __future__ import annotations

import pytest

from hema_stream.core.units import believable_mpp


@pytest.mark.parametrize(
    ("can_be", "scales"),
    [(True, (0.02, 0.25, 5.0)), (False, (0.0199, 5.001, 0.0, -0.25, float("nan"), float("inf"), 40.0, 250.0))],
)
def test_what_a_microscope_can_have(can_be, scales):
    assert {believable_mpp(mpp) for mpp in scales} == {can_be}
