"""Classify: crops of several slides in one padded batch, labels back to each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.crops import Crops, Labels, load_geometry
from hema_stream.core.errors import ModelError
from hema_stream.core.taxonomy import Taxonomy, load_taxonomy
from hema_stream.flow import BatchTransform, Caps, Policy, cpu, prop

if TYPE_CHECKING:
    from hema_models.backends import Network
    from hema_models.cards import ModelCard
    from hema_models.site.choice import Choice
    from hema_models.site.statistics import Gathering
    from hema_models.views import Answers

    from hema_stages.site import SiteCorrection


@dataclass(frozen=True, eq=False)
class _Namer:
    """What makes names of a network's probabilities: the classes, and a site's correction where there is one."""

    taxonomy: Taxonomy
    site: SiteCorrection | None

    def name(self, own: NDArray[np.float32], features: NDArray[np.floating]) -> _Named:
        """Name N cells by the network's own probabilities (N, C) and features (N, F)."""
        probabilities = own if self.site is None else self.site.correct(own, features)
        best = self.taxonomy.best(probabilities)
        return _Named(probabilities, best, self.taxonomy.unknown(probabilities, best))


@dataclass(frozen=True, eq=False)
class _Named:
    probabilities: NDArray[np.float32]
    best: NDArray[np.int16]
    unknown: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _SlideState:
    """A slide under way.

    Attributes:
        namer: what makes its names.
        table: how its crops are mapped before the network sees them, (256, 3) uint8; None for not at all.
        told: its caps; gathered: sums over its cells, where a site compares them with its own.
    """

    namer: _Namer
    table: NDArray[np.uint8] | None
    told: Caps
    gathered: Gathering | None


class Classify(BatchTransform[Crops, Labels]):
    """Name the class of each red or white cell, with a calibrated probability.

    Crops are brought to the reference's ground and density first, where the card says so. Cells of which the network is
    not sure are asked again in another view. Logits are divided by the card's temperature (Guo et al., ICML 2017), the
    card's prior is added, and what a site has learnt corrects them. The best leaf under the best parent is always
    named; where the parent's probability is under the class's threshold the cell is ``unknown`` besides.
    """

    accepts = Caps("image/crops")
    produces = Caps("cells/labels")
    runs_on = cpu(threads=1)
    on_error = Policy.GAP
    deadline = 60.0

    stream: str = prop("rbc", doc="which cells", choices=("rbc", "wbc"))
    model: str = prop("", doc="card of a shipped model or path of one; empty for the stream's own")
    backend: str = prop("openvino", doc="what runs it", choices=("openvino", "torch", "onnxruntime"))
    device: str = prop("cpu", doc="torch device")
    threads: int = prop(0, doc="CPU threads of the back end; 0 for its own choice", ge=0)
    precision: str = prop("auto", doc="arithmetic; auto: OpenVINO's choice", choices=("auto", "float32"))
    max_batch: int = prop(128, doc="rows of the padded batch", ge=1)
    site: str = prop("", doc="site whose profile in use corrects the answers, or a profile's file")
    keep_features: bool = prop(False, doc="whether labels carry the features that a site learns from")

    _network: Network
    _card: ModelCard
    _namers: dict[Choice | None, _Namer]

    def start(self) -> None:
        """Load the network, lay its outputs out in the taxonomy's order, and read what the site has learnt."""
        from hema_models.backends import open_network
        from hema_models.cards import find_card

        card = find_card(self.model or self.stream)
        geometry = load_geometry(self.stream)
        if (card.side, card.side_um) != (geometry.side_px, geometry.side_um):
            seen = f"{card.side_um} um at {card.side} px"
            remedy = "train a model for configs/crops.yaml, or change that file"
            raise ModelError(f"sees crops of {seen}, not {geometry}", place=card.name, remedy=remedy)
        known = load_taxonomy(self.stream)
        self._shipped = len(known.classes)
        self._columns = np.array([known.index(name) for name in card.classes])
        self._prior = np.array([card.prior.get(name, 0.0) for name in card.classes])
        self._card = card
        model = self.model or self.stream
        self._network = open_network(model, self.max_batch, self.backend, self.threads, self.device, self.precision)
        self._namers = {None: self._namer(None)}

    @property
    def identity(self) -> str:
        """Of the network's weights, from the start on."""
        return self._network.identity

    def _namer(self, choice: Choice | None) -> _Namer:
        """Read what a site has learnt: that of the choice, else the one of the property.

        Raises:
            ConfigError: no such site, or it is off. ModelError: it was learnt with another network.
        """
        known = load_taxonomy(self.stream)
        if choice is None and not self.site:
            return _Namer(known, None)
        from hema_stages.site import SiteCorrection

        if choice is None:
            site = SiteCorrection.of(self.site, self.stream, self._network.identity)
        else:
            site = SiteCorrection.chosen(choice, self.stream, self._network.identity)
        return _Namer(site.taxonomy(known), site)

    def _namer_of(self, choice: Choice | None) -> _Namer:
        """As ``_namer``; that of the last choice is kept, for a version never changes. A file may, and is read anew."""
        found = self._namers.get(choice)
        if found is None:
            found = self._namer(choice)
            alone = self._namers[None]
            self._namers = {None: alone} if choice is None or choice.version is None else {None: alone, choice: found}
        return found

    def negotiate(self, caps: Caps) -> tuple[Caps, _SlideState]:
        """Pass the slide's caps on, with what makes the names: network, rates of error elsewhere, classes, site."""
        from hema_models.normalising import density_table

        namer = self._namer_of(caps.get("site_choice"))
        told: dict[str, Any] = {
            "networks": {**caps.get("networks", {}), self.stream: self._network.identity},
            "models": {**caps.get("models", {}), self.name: self._network.identity},
            "rates": {**caps.get("rates", {}), self.stream: self._card.rates},
            "taxonomies": {**caps.get("taxonomies", {}), self.stream: namer.taxonomy},
        }
        if namer.site is not None:
            told["site"] = namer.site.use(caps.get("site"))
        table = None
        if self._card.colours == "density":
            table = density_table(caps.calibration.background, caps.calibration.red_cell)
        out = caps.with_(**told)
        return out, _SlideState(namer, table, out, None if namer.site is None else namer.site.gathering())

    def finish(self, state: _SlideState) -> Caps | None:
        """Say how far the slide's cells lie from the site's, where a site is used that has seen slides."""
        site = state.namer.site
        if site is None or state.gathered is None:
            return None
        return state.told.with_(site=site.compared(state.told.site, state.gathered))

    def process_batch(self, items: Sequence[Crops], states: Sequence[_SlideState]) -> list[Labels]:
        """Label the crops of all items in one padded batch; results in the order of the items."""
        from hema_models.views import answer_by_views

        card = self._card
        pixels = np.concatenate([_mapped(item, state.table) for item, state in zip(items, states, strict=True)])
        answers = answer_by_views(self._ask, pixels, card.views, card.sure, card.second_look)
        ends = np.cumsum([len(item) for item in items])
        parts = [slice(end - len(item), end) for item, end in zip(items, ends, strict=True)]
        own = self._probabilities(answers.logits)
        for part, state in zip(parts, states, strict=True):
            if state.gathered is not None:
                state.gathered.add(answers.features[part], own[part])
        named = {namer: namer.name(own, answers.features) for namer in {state.namer for state in states}}
        kept = self._kept(own, answers.features)
        return [
            self._labels(item, part, named[state.namer], kept)
            for item, part, state in zip(items, parts, states, strict=True)
        ]

    def _labels(self, item: Crops, part: slice, named: _Named, kept: Sequence[NDArray[Any]]) -> Labels:
        best, unknown = named.best[part], named.unknown[part]
        return Labels(
            self.stream, item.keys, named.probabilities[part], best, unknown, *(column[part] for column in kept)
        )

    def _kept(self, own: NDArray[np.float32], features: NDArray[np.floating]) -> Sequence[NDArray[Any]]:
        """Features and own answers, for labels that carry them."""
        if not self.keep_features:
            return ()
        from hema_models.site.head import answers_of

        return features.astype(np.float16), answers_of(own)

    def _ask(self, pixels: NDArray[np.uint8]) -> Answers:
        """Ask the network in padded batches, (N, S, S, 3)."""
        from hema_models.views import Answers

        size = self._network.batch
        if lacking := -len(pixels) % size:
            pixels = np.concatenate([pixels, np.zeros((lacking, *pixels.shape[1:]), np.uint8)])
        parts = [self._network(pixels[i : i + size]) for i in range(0, len(pixels), size)]
        logits, features = (np.concatenate(column)[: len(pixels) - lacking] for column in zip(*parts, strict=True))
        return Answers(logits, features)

    def _probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's own probabilities, (N, classes of the card) to (N, classes of the shipped taxonomy)."""
        from hema_models.calibration import softmax

        out = np.zeros((len(logits), self._shipped), np.float32)
        out[:, self._columns] = softmax(logits / self._card.temperature + self._prior)
        return out


def _mapped(crops: Crops, table: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    from hema_models.normalising import normalise

    return crops.pixels if table is None or not len(crops) else normalise(crops.pixels, table)
