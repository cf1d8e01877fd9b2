"""The suite's plots, PNG: accuracy and calibration by source, confusion, names of healthy cells, power."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hema_stream.core.errors import ConfigError

Figures = Mapping[str, Any]
STREAMS = {"white": "wbc", "red": "rbc", "points": "points", "wbc": "wbc", "rbc": "rbc"}
TELLING = 10
"""Cells from which a bin of confidence is drawn: the share right of fewer is mostly chance."""


def write_plots(document: Figures, folder: Path) -> list[str]:
    """Draw what a suite's document holds; returns the names of the files, in order.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    written = []
    for part in ("product", "left_out"):
        for key, own in document[part].items():
            for name, draw, figures in _drawings(key, own):
                file = f"{part.replace('_', '-')}-{key}-{name}.png"
                _save(folder / file, draw, figures)
                written.append(file)
    return written


def _drawings(key: str, own: Figures) -> list[tuple[str, Callable[[Any, Figures], None], Figures]]:
    if key in STREAMS:
        sources = {name: figures for name, figures in own.items() if name != "round"}
        more = [("round", _names, own["round"])] if own.get("round") else []
        drawn = [("accuracy", _accuracy), ("calibration", _calibration), ("risk", _risk), ("confusion", _confusion)]
        return [*((name, draw, sources) for name, draw in drawn if sources), *more]
    if key == "fields":
        return [("round", _names, {lab: figures["round"] for lab, figures in own.items()})]
    if key == "round":
        return [("names", _names, own)]
    if key == "slides":
        return [("power", _power, own["power"])]
    return []


def _save(path: Path, draw: Callable[[Any, Figures], None], figures: Figures) -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        remedy = "pip install 'hema-stream[evaluate]'"
        raise ConfigError("matplotlib is not installed", place=str(path), remedy=remedy) from error
    figure = Figure(figsize=(8, 5), layout="constrained")
    draw(figure.subplots(), figures)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _accuracy(axes: Any, sources: Figures) -> None:
    names = list(sources)
    value = np.array([sources[name]["balanced_accuracy"] for name in names])
    limits = np.array([sources[name]["interval"] for name in names])
    around = np.clip([value - limits[:, 0], limits[:, 1] - value], 0, None)
    axes.barh(names, value, xerr=around, color="#0057d9", ecolor="#555")
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="balanced accuracy, 95 % interval")


def _calibration(axes: Any, sources: Figures) -> None:
    axes.plot([0, 1], [0, 1], color="#999", linestyle="--")
    _many(axes)
    for name, own in sources.items():
        told = np.array([one for one in own["reliability"] if one[2] >= TELLING]).reshape(-1, 3)
        axes.plot(told[:, 0], told[:, 1], marker="o", label=f"{name} ({own['calibration_error']:.3f})")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel=f"share right, bins of {TELLING} cells or more")
    axes.legend(fontsize=7, title="calibration error", title_fontsize=7)


def _many(axes: Any) -> None:
    """More sources than ten have a colour of their own each."""
    from matplotlib import colormaps

    axes.set_prop_cycle(color=[colormaps["tab20"](n) for n in range(20)])


def _risk(axes: Any, sources: Figures) -> None:
    _many(axes)
    for name, own in sources.items():
        axes.plot([float(s) for s in own["risk_at"]], list(own["risk_at"].values()), marker="o", label=name)
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel="share kept, the most confident first", ylabel="share wrong of these")
    axes.legend(fontsize=7)


def _confusion(axes: Any, sources: Figures) -> None:
    """All sources together, each row its label's shares."""
    labels = sorted({label for own in sources.values() for label in own["confusion"]})
    said = sorted({name for own in sources.values() for row in own["confusion"].values() for name in row})
    counts = np.zeros((len(labels), len(said)))
    for own in sources.values():
        for label, row in own["confusion"].items():
            for name, n in row.items():
                counts[labels.index(label), said.index(name)] += n
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(said)), said, rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    for row, column in zip(*np.nonzero(share >= 0.005), strict=True):
        colour = "white" if share[row, column] > 0.5 else "black"
        text = f"{100 * share[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=6, color=colour)
    axes.set(xlabel="said, % of the label's cells", ylabel="label")


def _names(axes: Any, labs: Figures) -> None:
    start = np.zeros(len(labs))
    for key, colour in (("normal", "#2e9e4f"), ("unknown", "#bbbbbb"), ("abnormal", "#d62728")):
        value = np.array([own[key]["share"] or 0.0 for own in labs.values()])
        axes.barh(list(labs), value, left=start, color=colour, label=key)
        start += value
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="share of round whole red cells")
    axes.legend(loc="lower left", fontsize=8)


def _power(axes: Any, kinds: Figures) -> None:
    flagged = {name: own for name, own in kinds.items() if own["flags"]}
    for number, (name, own) in enumerate(flagged.items()):
        told = {100 * float(share): at for share, at in own["at"].items() if float(share)}
        for key, style in (("flagged", "-"), ("at_least_candidate", ":")):
            value = [at[key] / at["slides"] for at in told.values()]
            label = name if key == "flagged" else f"{name}, candidate at least"
            axes.plot(list(told), value, marker="o", linestyle=style, color=f"C{number}", label=label)
    ticks = sorted({100 * float(share) for own in flagged.values() for share in own["at"] if float(share)})
    axes.set(xscale="log", ylim=(0, 1.02), xlabel="true share, %", ylabel="share of slides found")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    if flagged:
        axes.legend(fontsize=7)
