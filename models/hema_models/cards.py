"""Model cards: what a network is, what it was trained on, how it did; one JSON file beside each weights file."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hema_models.weights.state import identity
from hema_stream.core.errors import ModelError
from hema_stream.core.rates import ClassRates, Rate, Rates

WEIGHTS = Path(__file__).parent / "weights"
CARD_SUFFIX = ".card.json"


class ClassElsewhere(BaseModel):
    """How a class did in laboratories that were left out of training; a cell that is unknown counts as not called.

    Attributes:
        false_positive: cells of other classes that were called this, and all such cells.
        recall: cells of this class that were called so, and all of them; None where no such laboratory has any.
        laboratories: how many left-out laboratories the recall was measured in.
        worst: the false positives of the left-out laboratory of at least 200 such cells with the largest share of them.
        note: what else is known of it, in plain words: reports and pages show it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    false_positive: tuple[int, int]
    recall: tuple[int, int] | None = None
    laboratories: int = 0
    worst: tuple[int, int] | None = None
    note: str = ""

    def rates(self) -> ClassRates:
        """The same as the report's code takes it."""
        return ClassRates(
            Rate(*self.false_positive),
            None if self.recall is None else Rate(*self.recall),
            self.laboratories,
            None if self.worst is None else Rate(*self.worst),
            self.note,
        )


class ModelCard(BaseModel):
    """A network of the product.

    Attributes:
        name: what properties call it, such as ``segment.model=yolo11n-seg``.
        task: ``segment`` or ``classify``; stream: ``rbc`` or ``wbc`` for a classifier.
        architecture: ultralytics' or timm's name.
        shipped: whether the weights come with the program; else whoever wants them trains them.
        weights: file name beside the card; sha256: its hash.
        classes: outputs in order.
        absent: classes of the taxonomy without data, never predicted.
        side: input side in pixels; mpp: microns a pixel of the input; side_um: physical side of a crop.
        mean, std: of the normalisation of 0..1 RGB.
        views, sure: a classifier asks the upright view, and that many mirror images (1, 2 or 4) of the cells whose best
            class has no more than ``sure`` by it, see ``answer_by_views``.
        second_look: what the further views show: ``mirrors`` the mirror images; ``green`` the density of green alone,
            in all three channels.
        colours: ``own`` where crops are seen as they are, ``density`` where they are brought to the reference's ground
            and density first, see ``normalising``.
        prior: class to what is added to its logit before the softmax: the log of how much rarer or commoner it is in
            routine than in training. Applied after ``temperature``.
        temperature: divides the logits of a classifier.
        elsewhere: class to how it did in laboratories left out of training.
        data, licence, metrics, notes: for the reader.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    shipped: bool = True
    task: Literal["segment", "classify"]
    stream: Literal["rbc", "wbc"] | None = None
    architecture: str
    weights: str
    sha256: str
    licence: str
    classes: list[str]
    absent: list[str] = Field(default_factory=list)
    side: int
    mpp: float
    side_um: float | None = None
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    views: Literal[1, 2, 4] = 1
    sure: float = Field(default=1.0, gt=0.0, le=1.0)
    second_look: Literal["mirrors", "green"] = "mirrors"
    colours: Literal["own", "density"] = "own"
    prior: dict[str, float] = Field(default_factory=dict)
    temperature: float = 1.0
    elsewhere: dict[str, ClassElsewhere] = Field(default_factory=dict)
    data: list[dict[str, Any]] = Field(default_factory=list)
    metrics: dict[str, Any] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    folder: Path = Field(default=WEIGHTS, exclude=True)

    @cached_property
    def path(self) -> Path:
        """Where the weights lie."""
        return self.folder / self.weights

    @property
    def rates(self) -> Rates:
        """How each class did elsewhere."""
        return {name: told.rates() for name, told in self.elsewhere.items()}

    def verify(self) -> None:
        """Check that the weights are there and are the ones the card speaks of.

        Raises:
            ModelError: missing, or of another hash.
        """
        if not self.path.is_file():
            what = f"{self.stream or 'segment'} --architecture {self.architecture}"
            command = f"hema-stream train {what} --data DIR --out {self.path}"
            raise ModelError("weights are missing", place=str(self.path), remedy=f"train them: {command}")
        if self.shipped and identity(self.path) != self.sha256:
            raise ModelError("weights are not those of the card", place=str(self.path), remedy="reinstall hema-stream")


def read_card(path: Path) -> ModelCard:
    """Read one card; ModelError names file and field where it is not valid."""
    try:
        card = ModelCard.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", place=str(path), remedy="hema-stream models") from error
    except ValidationError as error:
        raise ModelError(f"not a valid card: {error}", place=str(path), remedy="reinstall hema-stream") from error
    return card.model_copy(update={"folder": path.parent})


def shipped_cards(folder: Path = WEIGHTS) -> dict[str, ModelCard]:
    """Read every card under ``folder``, by name."""
    cards = [read_card(path) for path in sorted(folder.rglob(f"*{CARD_SUFFIX}"))]
    return {card.name: card for card in cards}


def find_card(model: str) -> ModelCard:
    """Find a model by its card's name, or by the path of a card.

    Raises:
        ModelError: no such card; names those that there are.
    """
    if model.endswith(CARD_SUFFIX):
        return read_card(Path(model))
    cards = shipped_cards()
    if model not in cards:
        raise ModelError("no such model", place=model, remedy=f"known: {', '.join(cards) or 'none'}")
    return cards[model]
