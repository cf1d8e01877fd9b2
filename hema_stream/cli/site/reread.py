"""``hema-stream site reread``: what a site makes of a slide that was analysed without it, from the kept features."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

if TYPE_CHECKING:
    from hema_models.site.profile import Profile
    from numpy.typing import NDArray

    from hema_stream.core.features import CellFeatures
    from hema_stream.core.report import WbcDifferential
    from hema_stream.core.taxonomy import Taxonomy


@click.command("reread")
@click.argument("name")
@click.argument("result", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--version", type=click.IntRange(min=0), help="Which one; the newest where none is given.")
@click.option("--panel", default="default", show_default=True, help="Panel in configs/panels.")
def command(name: str, result: Path, version: int | None, panel: str) -> None:
    """Show the differential of the slide in the folder RESULT by the network alone and with the site.

    Nothing is run again and nothing is written: it says what the site would have changed.
    """
    from hema_models.site.store import SiteStore

    from hema_stream.core.errors import InputError
    from hema_stream.core.features import FEATURES, read_features

    kept = read_features(result / FEATURES)
    if kept is None:
        remedy = "analyse it with --set classify_wbc.keep_features=true; the service keeps them of its slides"
        raise InputError("no features were kept of this slide", place=str(result / FEATURES), remedy=remedy)
    profile = SiteStore().load(name, version)
    click.echo(f"{result.name}: {len(kept)} {kept.stream} cells, {name} version {profile.version}, from kept features")
    for line in _table(kept, profile, panel):
        click.echo(line)


def _table(kept: CellFeatures, profile: Profile, panel: str) -> Iterator[str]:
    from hema_stream.core.taxonomy import load_taxonomy

    known = load_taxonomy(kept.stream)
    learnt = profile.stream(kept.stream, kept.network)
    after = known if learnt is None else learnt.taxonomy(known)
    alone = np.exp(kept.answers)
    corrected = alone if learnt is None else learnt.correct(kept.answers, kept.features.astype(np.float32))
    one, two = _differential(alone, known, panel), _differential(corrected, after, panel)
    yield f"{'class':24}{'network':>16}{'with the site':>16}"
    for label in (label for label in after.names if label in one.distribution or label in two.distribution):
        yield f"{label:24}{_told(one, label):>16}{_told(two, label):>16}"
    yield f"{'unknown':24}{one.unknown:>16}{two.unknown:>16}"


def _differential(probabilities: NDArray[np.float32], taxonomy: Taxonomy, panel: str) -> WbcDifferential:
    from hema_stream.clinical.differential import differential
    from hema_stream.clinical.panel import load_panel
    from hema_stream.core.naming import Naming

    best = taxonomy.best(probabilities)
    unknown = taxonomy.unknown(probabilities, best)
    counted = np.bincount(best[~unknown], minlength=len(taxonomy.names)).tolist()
    counts = {label: count for label, count in zip(taxonomy.names, counted, strict=True) if count}
    naming = Naming({"wbc": taxonomy})
    return differential(counts, len(best), int(unknown.sum()), load_panel(panel), naming=naming)


def _told(made: WbcDifferential, label: str) -> str:
    count, share = made.distribution.get(label, 0), made.percentages.get(label)
    percent = "" if share is None or share.percent is None else f"{share.percent:.1f} %"
    return f"{count} {percent:>8}"
