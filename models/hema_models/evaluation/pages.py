"""The suite's document as one page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]


def markdown(document: Figures, plots: Sequence[str]) -> str:
    """Lay out a suite's document, with its plots, by the names of their files beside the page."""
    lines = ["# Evaluation by laboratory", "", *_made_of(document["made_of"])]
    product, left_out = document["product"], document["left_out"]
    for title, figures in (("The product", product), ("Laboratories left out", left_out)):
        if figures:
            lines += ["", f"## {title}", *_part(figures)]
    lines += ["", *(f"![{name}]({name})" for name in plots)]
    return "\n".join(lines) + "\n"


def _made_of(made: Figures) -> Iterator[str]:
    settings = " ".join(made["settings"]) or "none"
    yield f"{made['software']}, profile {made['profile']}, split {made['split']}, settings: {settings}."
    yield f"Configuration {made['configuration'][:16]}, site {(made['site'] or 'none')[:16]}."
    weights = ", ".join(f"{stage} {model['weights'][:16]}" for stage, model in made["models"].items())
    yield f"Weights: {weights}."
    none = [f"{stream} {_counts(by_source)}" for stream, by_source in made["without_result"].items() if by_source]
    if none:
        yield f"Pictures without a result, in no figure below: {'; '.join(none)}."


def _part(figures: Figures) -> Iterator[str]:
    titles = {
        "white": "White cells",
        "wbc": "White cells",
        "red": "Red cells",
        "rbc": "Red cells",
        "points": "Red cell shapes in their fields",
    }
    for key, own in figures.items():
        if key in titles:
            yield from ("", f"### {titles[key]}", "", *_cells({k: v for k, v in own.items() if k != "round"}))
            if own.get("round"):
                yield from ("", "Round whole cells:", "", *_named(own["round"]))
        elif key.endswith("_elsewhere"):
            yield from ("", f"### What each class does elsewhere ({key.partition('_')[0]})", "", *_elsewhere(own))
        elif key.endswith("_errors"):
            yield from ("", "Where each class is called most often without being there:", "", *_errors(own))
        elif key == "fields":
            yield from ("", "### Fields", "", *_named({lab: f["round"] for lab, f in own.items()}), "", *_fields(own))
        elif key == "round":
            yield from ("", "### Round whole cells", "", *_named(own))
        elif key == "red_unknown":
            yield from ("", "### Red cells unknown", "", *_unknown(own))
        elif key == "detection":
            yield from ("", "### Detection", "", *_detection(own))
        elif key == "slides":
            yield from ("", "### Composed slides", "", *_healthy(own["healthy"]), "", *_power(own["power"]))


def _cells(sources: Figures) -> Iterator[str]:
    head = (
        "source",
        "cells",
        "balanced accuracy",
        "merged",
        "macro F1",
        "calibration error",
        "wrong at 80 %",
        "unknown",
    )
    yield from _table(
        head,
        (
            (
                source,
                own["cells"],
                f"{own['balanced_accuracy']:.3f} ({own['interval'][0]:.3f} to {own['interval'][1]:.3f})",
                _figure(own.get("merged")),
                _figure(own.get("macro_f1")),
                _figure(own["calibration_error"]),
                _figure(own["risk_at"]["0.8"]),
                f"{own['unknown']:.1%}",
            )
            for source, own in sources.items()
        ),
    )


def _named(labs: Figures) -> Iterator[str]:
    head = ("laboratory", "round whole cells", "normal", "unknown", "abnormal", "named")
    rows = (
        (
            lab,
            own["normal"]["of"],
            *(_share(own[key]) for key in ("normal", "unknown", "abnormal")),
            ", ".join(f"{name} {k}" for name, k in own["as"].items()),
        )
        for lab, own in labs.items()
    )
    yield from _table(head, rows)


def _fields(labs: Figures) -> Iterator[str]:
    head = ("laboratory", "fields", "red cells unknown", "fields with a flag", "flags", "candidates")
    rows = (
        (
            lab,
            own["fields"],
            _share(own["red_unknown"]),
            own["claims"]["flagged"],
            _counts(own["claims"]["flags"]),
            _counts(own["claims"]["candidates"]),
        )
        for lab, own in labs.items()
    )
    yield from _table(head, rows)


def _unknown(sources: Figures) -> Iterator[str]:
    yield from _table(("source", "cells", "unknown"), ((name, own["of"], _share(own)) for name, own in sources.items()))


def _elsewhere(classes: Figures) -> Iterator[str]:
    rows = (
        (name, _pair(own["false_positive"]), _pair(own["recall"]), own["laboratories"], own["note"])
        for name, own in classes.items()
    )
    yield from _table(("class", "called so of others", "found", "laboratories", "note"), rows)


def _errors(classes: Figures) -> Iterator[str]:
    for_each = {
        name: sorted(labs.items(), key=lambda lab: -lab[1][0] / lab[1][1])[:3] for name, labs in classes.items()
    }
    rows = ((name, *(f"{lab}: {_pair(pair)}" for lab, pair in labs)) for name, labs in for_each.items())
    yield from _table(("class", "laboratory", "next", "next"), ((*row, "", "", "")[:4] for row in rows))


def _detection(classes: Figures) -> Iterator[str]:
    head = ("class", "laboratory", "pictures", "cells", "AP50", "precision", "recall")
    rows = (
        (
            name,
            lab,
            own["images"],
            own["labels"],
            f"{own['ap50']:.3f} ({own['interval'][0]:.3f} to {own['interval'][1]:.3f})",
            _figure(own["precision"]),
            _figure(own["recall"]),
        )
        for name, labs in classes.items()
        for lab, own in labs.items()
    )
    yield from _table(head, rows)


def _healthy(healthy: Figures) -> Iterator[str]:
    parts = {**healthy["laboratories"], "all": {**healthy["all"], "flagged": _share(healthy["all"]["flagged"])}}
    rows = (
        (lab, own["slides"], own["flagged"], _counts(own["flags"]), _counts(own["candidates"]))
        for lab, own in parts.items()
    )
    yield from _table(("healthy slides of", "slides", "with a flag", "flags", "candidates"), rows)


def _power(kinds: Figures) -> Iterator[str]:
    rows = (
        (
            f"{name}{' (asked)' if float(share) == own['asked'] else ''}",
            f"{float(share):.2%}",
            *(
                f"{at[key]} of {at['slides']}" if own["flags"] else "no flag"
                for key in ("flagged", "at_least_candidate")
            ),
        )
        for name, own in kinds.items()
        for share, at in own["at"].items()
    )
    yield from _table(("composed in", "share", "flagged", "flagged or candidate"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(str(cell) for cell in row)} |"


def _share(own: Figures) -> str:
    if not own["of"]:
        return "none"
    return f"{own['k'] / own['of']:.1%} ({own['interval'][0]:.1%} to {own['interval'][1]:.1%})"


def _pair(pair: Sequence[int] | None) -> str:
    return "" if pair is None or not pair[1] else f"{pair[0]} of {pair[1]} ({pair[0] / pair[1]:.2%})"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items())


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
