"""Composed slides: how often healthy blood raises a flag, and from which share on what is not healthy is found.

A kind of cells that the panel has no flag for is told without any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hema_stream.cli.evaluate.suite.claims import Claims
from hema_stream.core.configs import load_config

if TYPE_CHECKING:
    from hema_models.evaluation.answers import Answers
    from hema_models.evaluation.composed import Counts, Pool

    from hema_stream.cli.evaluate.suite.fields import Field

SEED = 19


def plan() -> dict[str, Any]:
    """Read ``configs/evaluation/slides.yaml``."""
    return dict(load_config("evaluation/slides.yaml"))


@dataclass(frozen=True, eq=False)
class Pools:
    """Where the cells of composed slides come from.

    Attributes:
        red, white: laboratory to the answers to its cells; abnormal: kind to the answers to cells that are truly so.
    """

    red: Mapping[str, Pool]
    white: Mapping[str, Pool]
    abnormal: Mapping[str, Pool]

    @property
    def laboratories(self) -> list[str]:
        """Those that have both."""
        return sorted(set(self.red) & set(self.white))


def pools_of(red: Mapping[str, Pool], cells: Mapping[str, Sequence[Answers]]) -> Pools:
    """Pools from red cells by laboratory and answers to labelled cells by stream."""
    asked = plan()
    white = {
        lab: _healthy(cells["wbc"], source, asked["differential"]) for lab, source in asked["laboratories"].items()
    }
    kinds = {name: _labelled(cells[kind["stream"]], kind) for name, kind in asked["kinds"].items()}
    return Pools(red, _filled(white), _filled(kinds))


def _filled(pools: Mapping[str, Pool | None]) -> dict[str, Pool]:
    return {name: pool for name, pool in pools.items() if pool is not None}


def red_of_fields(fields: Sequence[Field], classes: int) -> dict[str, Pool]:
    """Red cells of analysed fields, by laboratory of the plan."""
    from hema_models.evaluation.composed import pool

    out = {}
    for lab in plan()["laboratories"]:
        own = [(field, field.red) for field in fields if field.image["lab"] == lab]
        if any(red.any() for _, red in own):
            said = np.concatenate([field.said[red] for field, red in own])
            unknown = np.concatenate([field.unknown[red] for field, red in own])
            out[lab] = pool(said, unknown, classes, [f.image["file_name"] for f, red in own for _ in range(red.sum())])
    return out


def red_of_answers(answers: Answers, classes: int) -> dict[str, Pool]:
    """Red cells of a table of answers to cells within fields, by laboratory of the plan."""
    from hema_models.evaluation.composed import pool

    out = {}
    for lab in plan()["laboratories"]:
        own = answers.chosen(answers.sources == lab)
        if len(own):
            fields = [name.partition("#")[0] for name in own.names.tolist()]
            out[lab] = pool(own.said, own.unknown, classes, fields)
    return out


def _healthy(cells: Sequence[Answers], source: str, shares: Mapping[str, float]) -> Pool | None:
    from hema_models.evaluation.composed import pool, weights_by_label

    for answers in cells:
        own = answers.chosen((answers.sources == source) & np.isin(answers.labels, list(shares)))
        if len(own):
            weights = weights_by_label(own.labels, _once(own.labels, shares))
            return replace(pool(own.said, own.unknown, own.allowed.shape[1]), weights=weights)
    return None


def _once(labels: NDArray[np.str_], shares: Mapping[str, float]) -> dict[str, float]:
    """Neutrophils are told by stage or not: a source that tells the stage is not asked for the others besides."""
    told = "neutrophil_segmented" in labels
    return {name: share for name, share in shares.items() if not (told and name == "neutrophil")}


def _labelled(cells: Sequence[Answers], kind: Mapping[str, Any]) -> Pool | None:
    """Every source weighs the same; cells that were not found are no cells of a slide."""
    from hema_models.evaluation.composed import pool

    without = list(kind.get("without", ()))
    wanted = [(a.labels == kind["label"]) & ~np.isin(a.sources, without) & (a.said >= 0) for a in cells]
    own = [a.chosen(rows) for a, rows in zip(cells, wanted, strict=True) if rows.any()]
    if not own:
        return None
    sources = np.concatenate([a.sources for a in own])
    weights = np.array([1 / (sources == source).sum() for source in sources])
    said, unknown = np.concatenate([a.said for a in own]), np.concatenate([a.unknown for a in own])
    return replace(pool(said, unknown, own[0].allowed.shape[1]), weights=weights)


def slide_figures(pools: Pools, claims: Mapping[str, Claims]) -> dict[str, Any]:
    """Flags of healthy slides, and power against share for each kind of abnormal cell.

    Args:
        claims: laboratory to the rules that its slides are asked by.
    """
    rng = np.random.default_rng(SEED)
    return {"healthy": _healthy_slides(pools, claims, rng), "power": _power(pools, claims, rng)}


def _healthy_slides(pools: Pools, claims: Mapping[str, Claims], rng: np.random.Generator) -> dict[str, Any]:
    from hema_models.evaluation.naming import share

    asked, labs = plan(), pools.laboratories
    by_lab: dict[str, list[tuple[set[str], set[str]]]] = {lab: [] for lab in labs}
    for number in range(asked["healthy"] if labs else 0):
        lab = labs[number % len(labs)]
        red = _told(claims[lab], "rbc", pools.red[lab].fields_drawn(asked["red"], rng))
        white = _told(claims[lab], "wbc", pools.white[lab].cells_drawn(asked["white"], rng))
        by_lab[lab].append((red[0] | white[0], red[1] | white[1]))
    together = [told for own in by_lab.values() for told in own]
    out = {lab: _flagged(own) for lab, own in by_lab.items()}
    flagged = sum(bool(flags) for flags, _ in together)
    return {"all": _flagged(together) | {"flagged": share(flagged, len(together))}, "laboratories": out}


def _told(claims: Claims, stream: str, counts: Counts) -> tuple[set[str], set[str]]:
    named = {name: int(n) for name, n in zip(claims.names(stream), counts[:-1], strict=True) if n}
    return claims.of(stream, named, int(counts[-1]))


def _flagged(told: Sequence[tuple[set[str], set[str]]]) -> dict[str, Any]:
    return {
        "slides": len(told),
        "flagged": sum(bool(flags) for flags, _ in told),
        "flags": dict(sorted(Counter(code for flags, _ in told for code in flags).items())),
        "candidates": dict(sorted(Counter(code for _, less in told for code in less).items())),
    }


def _power(pools: Pools, claims: Mapping[str, Claims], rng: np.random.Generator) -> dict[str, Any]:
    asked = plan()
    out: dict[str, Any] = {}
    for name, kind in asked["kinds"].items():
        if name in pools.abnormal and pools.laboratories:
            shares = sorted({0.0, *asked["shares"], kind["share"]})  # without any: how often the flag is a false one
            found = {f"{share:.4f}": _found(pools, claims, name, kind, share, rng) for share in shares}
            flags = [code for code in kind["flags"] if all(code in asks.panel.flags for asks in claims.values())]
            out[name] = {"asked": kind["share"], "flags": flags, "at": found}
    return out


def _found(
    pools: Pools,
    claims: Mapping[str, Claims],
    name: str,
    kind: Mapping[str, Any],
    share: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Of slides with a share of such cells: how many raise a flag of the kind, and how many at least a candidate."""
    from hema_models.evaluation.composed import with_cells

    asked, labs, codes = plan(), pools.laboratories, set(kind["flags"])
    flagged = shown = 0
    for number in range(asked["abnormal"]):
        lab = labs[number % len(labs)]
        if kind["stream"] == "rbc":
            healthy = pools.red[lab].fields_drawn(asked["red"], rng)
        else:
            healthy = pools.white[lab].cells_drawn(asked["white"], rng)
        flags, candidates = _told(claims[lab], kind["stream"], with_cells(healthy, pools.abnormal[name], share, rng))
        flagged += bool(flags & codes)
        shown += bool((flags | candidates) & codes)
    return {"slides": asked["abnormal"], "flagged": flagged, "at_least_candidate": shown}
