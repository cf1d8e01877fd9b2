"""Classify: crops of several slides in one padded batch, labels back to each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hema_stream.core.crops import Crops, Labels, load_geometry
from hema_stream.core.errors import ModelError
from hema_stream.core.site_use import SiteUse, StreamUse
from hema_stream.core.taxonomy import Taxonomy, load_taxonomy
from hema_stream.flow import BatchTransform, Caps, Policy, cpu, prop

if TYPE_CHECKING:
    from hema_models.backends import Network
    from hema_models.cards import ModelCard
    from hema_models.site.profile import Profile, StreamProfile
    from hema_models.views import Answers


Table = NDArray[np.uint8] | None
"""How a slide's crops are mapped before the network sees them: (256, 3) uint8, or not at all."""


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
    _taxonomy: Taxonomy
    _profile: Profile | None
    _learnt: StreamProfile | None

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
        self._columns = np.array([known.index(name) for name in card.classes])
        self._prior = np.array([card.prior.get(name, 0.0) for name in card.classes])
        self._card = card
        model = self.model or self.stream
        self._network = open_network(model, self.max_batch, self.backend, self.threads, self.device, self.precision)
        self._read_site(known)

    def _read_site(self, known: Taxonomy) -> None:
        self._profile, self._learnt, self._taxonomy = None, None, known
        if not self.site:
            return
        from hema_models.site.store import find_profile

        self._profile = find_profile(self.site)
        self._learnt = self._profile.stream(self.stream, self._network.identity)
        if self._learnt is not None:
            self._taxonomy = self._learnt.taxonomy(known)

    def negotiate(self, caps: Caps) -> tuple[Caps, Table]:
        """Pass the slide's caps on, with what makes the names: network, rates of error elsewhere, classes, site."""
        from hema_models.normalising import density_table

        told: dict[str, Any] = {
            "models": {**caps.get("models", {}), self.name: self._network.identity},
            "rates": {**caps.get("rates", {}), self.stream: self._card.rates},
            "taxonomies": {**caps.get("taxonomies", {}), self.stream: self._taxonomy},
        }
        if self._profile is not None:
            told["site"] = self._site_use(caps.get("site"))
        table = None
        if self._card.colours == "density":
            table = density_table(caps.calibration.background, caps.calibration.red_cell)
        return caps.with_(**told), table

    def _site_use(self, known: SiteUse | None) -> SiteUse:
        assert self._profile is not None
        judged = self._learnt.judgement if self._learnt else None
        head = self._learnt is not None and self._learnt.head is not None
        own = StreamUse(head, judged.cells if judged else 0, judged.after if judged and head else None)
        others = {} if known is None else known.streams
        return SiteUse(self._profile.name, self._profile.version, self._profile.identity, {**others, self.stream: own})

    def process_batch(self, items: Sequence[Crops], states: Sequence[Table]) -> list[Labels]:
        """Label the crops of all items in one padded batch; results in the order of the items."""
        from hema_models.views import answer_by_views

        card = self._card
        pixels = np.concatenate([_mapped(item, state) for item, state in zip(items, states, strict=True)])
        answers = answer_by_views(self._ask, pixels, card.views, card.sure, card.second_look)
        probabilities = self._probabilities(answers)
        best = self._taxonomy.best(probabilities)
        unknown = self._taxonomy.unknown(probabilities, best)
        features = answers.features.astype(np.float16) if self.keep_features else None
        ends = np.cumsum([len(item) for item in items])
        parts = [slice(end - len(item), end) for item, end in zip(items, ends, strict=True)]
        return [
            Labels(
                self.stream,
                item.keys,
                probabilities[part],
                best[part],
                unknown[part],
                None if features is None else features[part],
            )
            for item, part in zip(items, parts, strict=True)
        ]

    def _ask(self, pixels: NDArray[np.uint8]) -> Answers:
        """Ask the network in padded batches, (N, S, S, 3)."""
        from hema_models.views import Answers

        size = self._network.batch
        if lacking := -len(pixels) % size:
            pixels = np.concatenate([pixels, np.zeros((lacking, *pixels.shape[1:]), np.uint8)])
        parts = [self._network(pixels[i : i + size]) for i in range(0, len(pixels), size)]
        logits, features = (np.concatenate(column)[: len(pixels) - lacking] for column in zip(*parts, strict=True))
        return Answers(logits, features)

    def _probabilities(self, answers: Answers) -> NDArray[np.float32]:
        """Probabilities in the taxonomy's order, those of the site's own classes last."""
        from hema_models.calibration import softmax
        from hema_models.site.head import answers_of

        own = softmax(answers.logits / self._card.temperature + self._prior)
        out = np.zeros((len(own), len(self._taxonomy.classes)), np.float32)
        out[:, self._columns] = own
        learnt = self._learnt
        if learnt is None or learnt.head is None:
            return out
        known = answers_of(out[:, : len(learnt.classes)])
        corrected = learnt.head.correct(known, learnt.statistics.standardise(answers.features))
        return np.asarray(softmax(corrected), np.float32)


def _mapped(crops: Crops, table: Table) -> NDArray[np.uint8]:
    from hema_models.normalising import normalise

    return crops.pixels if table is None or not len(crops) else normalise(crops.pixels, table)
