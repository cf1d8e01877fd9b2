"""What is said of a profile, for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hema_models.site.judge import Judgement
    from hema_models.site.profile import Profile, StreamProfile


def standing(profile: Profile) -> Iterator[str]:
    """A line a stream: what it was learnt from, and whether its head is on."""
    if not profile.streams:
        yield f"nothing learnt yet: hema-stream site learn {profile.name} --stream wbc --labels CSV"
    for name, part in sorted(profile.streams.items()):
        own = f", own classes {', '.join(one.name for one in part.own)}" if part.own else ""
        learnt = f"{len(part.reviewed)} named cells, {len(part.slides)} slides{own}"
        yield f"{name}: {learnt}; {_head(part)}"


def _head(part: StreamProfile) -> str:
    judged = part.judgement
    if judged is None:
        return "no named cells: answers are the network's own"
    told = f"balanced accuracy {judged.before:.3f} -> {judged.after:.3f} on cells left out"
    return f"head on, {told}" if part.head is not None else f"head off, it is no better: {told}"


def table(name: str, judged: Judgement) -> Iterator[str]:
    """Lay out what leaving cells out shows, by label."""
    yield f"{name}: {judged.cells} named cells, each left out in turn"
    yield f"{'class':24}{'cells':>7}{'network':>10}{'with head':>11}"
    for label, (count, before, after) in judged.recalls.items():
        yield f"{label:24}{count:>7}{before:>10.3f}{after:>11.3f}"
    yield f"{'balanced accuracy':24}{judged.cells:>7}{judged.before:>10.3f}{judged.after:>11.3f}"
    yield f"{'calibration error':24}{'':>7}{judged.calibration_before:>10.3f}{judged.calibration_after:>11.3f}"
