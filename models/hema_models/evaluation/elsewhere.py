"""How each class does in laboratories that were left out of training: the card's field ``elsewhere``.

python -m hema_models.evaluation.elsewhere TABLE.csv.gz CARD.json

A cell counts as called a class only if it is not unknown. A cell counts against a class only if its label rules the
class out, and towards the recall only if its label leaves no other: a label may leave several classes possible.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hema_models.cards import ClassElsewhere
from hema_models.evaluation.answers import Answers, read_answers
from hema_stream.core.errors import ConfigError
from hema_stream.core.rates import Rates
from hema_stream.core.taxonomy import load_taxonomy

ENOUGH = 200
"""Cells of other classes from which a laboratory's own rate is told."""
DEALT = {"wbc": frozenset({"pbc_barcelona"}), "rbc": frozenset({"chula_rbc12"})}
"""Sources too large or too rich to leave out: their cells were dealt to the runs, which saw the laboratory's others."""


def elsewhere(answers: Answers, dealt: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
    """Class to how it did in the laboratories left out.

    Args:
        answers: of networks that saw no cell of a laboratory that they answer for, but for those of ``dealt``.
        dealt: sources of which the networks saw other cells, by default the stream's ``DEALT``. They count neither way
            and are told in the note.

    Returns:
        For each class that a network learns: ``false_positive`` [k, of], ``recall`` [k, of] or None, ``laboratories``
        (how many the recall was measured in), ``worst`` ([k, of] of the laboratory that errs most, None where none has
        ``ENOUGH`` cells), ``note``.
    """
    told = answers.of_labels()
    near = np.isin(told.sources, list(DEALT[told.stream] if dealt is None else dealt))
    called, allowed = np.where(told.unknown, -1, told.said), told.allowed
    taxonomy = load_taxonomy(told.stream)
    out = {}
    for name in taxonomy.learnt:
        column = taxonomy.index(name)
        mine = called == column
        others = ~near & ~allowed[:, column]
        own = allowed[:, column] & (allowed.sum(axis=1) == 1)
        far = own & ~near
        out[name] = {
            "false_positive": _count(mine, others),
            "recall": _count(mine, far) if far.any() else None,
            "laboratories": len(np.unique(told.laboratories[far])),
            "worst": _worst(mine, others, told.laboratories),
            "note": _note(mine, own & near, told.laboratories),
        }
    return out


def errors_by_laboratory(answers: Answers) -> dict[str, dict[str, list[int]]]:
    """Class to laboratory to [k, of]: cells whose label rules the class out that were called it, and all such cells.

    Laboratories differ by more than chance: the one where a class is called most tells what a new one may do.
    """
    told = answers.of_labels()
    called, laboratories = np.where(told.unknown, -1, told.said), told.laboratories
    taxonomy = load_taxonomy(told.stream)
    out: dict[str, dict[str, list[int]]] = {}
    for name in taxonomy.learnt:
        column = taxonomy.index(name)
        others = ~told.allowed[:, column]
        counts = {lab: _count(called == column, others & (laboratories == lab)) for lab in np.unique(laboratories)}
        out[name] = {str(lab): pair for lab, pair in counts.items() if pair[1]}
    return out


def elsewhere_rates(answers: Answers) -> Rates:
    """The same as a report's rules take it."""
    return {name: ClassElsewhere.model_validate(did).rates() for name, did in elsewhere(answers).items()}


def _worst(mine: NDArray[np.bool_], others: NDArray[np.bool_], laboratories: NDArray[np.str_]) -> list[int] | None:
    """The laboratory of at least ``ENOUGH`` cells of other classes of which the largest share was called this."""
    counts = [_count(mine, others & (laboratories == name)) for name in np.unique(laboratories[others])]
    told = [count for count in counts if count[1] >= ENOUGH]
    return max(told, key=lambda count: count[0] / count[1]) if told else None


def _count(called: NDArray[np.bool_], among: NDArray[np.bool_]) -> list[int]:
    return [int((called & among).sum()), int(among.sum())]


def _note(called: NDArray[np.bool_], own: NDArray[np.bool_], laboratories: NDArray[np.str_]) -> str:
    """What is known where the laboratory itself was not left out."""
    if not own.any():
        return ""
    names = ", ".join(sorted(set(laboratories[own].tolist())))
    k, of = _count(called, own)
    return f"{k} of {of} found in held-out cells of {names}, whose other cells were trained on"


def write_card(table: Path, card: Path) -> dict[str, dict[str, Any]]:
    """Put what a table of answers says into a card's ``elsewhere``; the rest of the card stays as it is.

    Raises:
        ConfigError: the card is of no classifier, or the table lacks a column.
    """
    document = json.loads(card.read_text(encoding="utf-8"))
    stream = document.get("stream")
    if stream not in DEALT:
        raise ConfigError("not the card of a classifier", place=str(card), remedy="name the card of rbc or wbc")
    document["elsewhere"] = elsewhere(read_answers(table, stream))
    written = card.with_name(f".{card.name}.{os.getpid()}")
    written.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    written.replace(card)
    return dict(document["elsewhere"])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("card", type=Path)
    asked = parser.parse_args()
    for name, did in write_card(asked.table, asked.card).items():
        (false, others), recall = did["false_positive"], did["recall"]
        found = f"{recall[0]} of {recall[1]} found in {did['laboratories']} laboratories" if recall else "none to find"
        print(f"{name}: {false} of {others} others called so; {found}; {did['note']}")


if __name__ == "__main__":
    main()
