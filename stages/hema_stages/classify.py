"""Classify: crops of several slides in one padded batch, labels back to each."""

from __future__ import annotations

from collections.abc import Sequence
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


class Classify(BatchTransform[Crops, Labels]):
    """Name the class of each red or white cell, with a calibrated probability.

    Cells of which the network is not sure are asked again in mirror images, where the card says so. Logits are divided
    by the card's temperature (Guo et al., ICML 2017). The best leaf under the best parent is always named; where the
    parent's probability is under the class's threshold the cell is ``unknown`` besides.
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

    _network: Network
    _card: ModelCard
    _taxonomy: Taxonomy

    def start(self) -> None:
        """Load the network and lay its outputs out in the taxonomy's order."""
        from hema_models.backends import open_network
        from hema_models.cards import find_card

        card = find_card(self.model or self.stream)
        geometry = load_geometry(self.stream)
        if (card.side, card.side_um) != (geometry.side_px, geometry.side_um):
            seen = f"{card.side_um} um at {card.side} px"
            remedy = "train a model for configs/crops.yaml, or change that file"
            raise ModelError(f"sees crops of {seen}, not {geometry}", place=card.name, remedy=remedy)
        self._taxonomy = load_taxonomy(self.stream)
        self._columns = np.array([self._taxonomy.index(name) for name in card.classes])
        self._card = card
        model = self.model or self.stream
        self._network = open_network(model, self.max_batch, self.backend, self.threads, self.device, self.precision)

    def negotiate(self, caps: Caps) -> tuple[Caps, None]:
        """Pass the slide's caps on, with this network's identity among them."""
        return caps.with_(models={**caps.get("models", {}), self.name: self._network.identity}), None

    def process_batch(self, items: Sequence[Crops], states: Sequence[Any]) -> list[Labels]:
        """Label the crops of all items in one padded batch; results in the order of the items."""
        from hema_models.views import answer_by_views

        pixels = np.concatenate([item.pixels for item in items])
        ends = np.cumsum([len(item) for item in items])
        probabilities = self._probabilities(answer_by_views(self._logits, pixels, self._card.views, self._card.sure))
        best = self._taxonomy.best(probabilities)
        unknown = self._taxonomy.unknown(probabilities, best)
        parts = [slice(end - len(item), end) for item, end in zip(items, ends, strict=True)]
        return [
            Labels(self.stream, item.keys, probabilities[part], best[part], unknown[part])
            for item, part in zip(items, parts, strict=True)
        ]

    def _logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Ask the network in padded batches, (N, S, S, 3) to (N, classes of the card)."""
        size = self._network.batch
        if lacking := -len(pixels) % size:
            pixels = np.concatenate([pixels, np.zeros((lacking, *pixels.shape[1:]), np.uint8)])
        parts = [self._network(pixels[i : i + size])[0] for i in range(0, len(pixels), size)]
        return np.concatenate(parts)[: len(pixels) - lacking]

    def _probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Softmax of the tempered logits, (N, classes of the card) to (N, classes of the taxonomy)."""
        from hema_models.calibration import softmax

        out = np.zeros((len(logits), len(self._taxonomy.classes)), np.float32)
        out[:, self._columns] = softmax(logits, self._card.temperature)
        return out
