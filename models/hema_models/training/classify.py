"""Training of the red and white cell classifiers on labelled crops with partial labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hema_models.networks import classifier_network
from hema_models.normalising import look_table, normalise, tissue_density
from hema_models.training.augment import DENSE, DENSE_HARD, FAR_HARD, FAR_WIDE, FINE, Jitter, centre, jitter
from hema_models.training.crops import STREAMS, Healthy, LabelledCrops, load_crops
from hema_models.training.folds import PIECE, deal_balanced
from hema_models.training.styles import mix_styles
from hema_models.views import Answers, answer_by_views
from hema_models.weights.state import load_state, save_state

MEAN = STD = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Round:
    """One rise and fall of the learning rate, which begins with the averaged weights of the round before it.

    Attributes:
        passes: over the data.
        jitters: settings of which each crop draws one.
    """

    passes: float
    jitters: tuple[Jitter, ...]


@dataclass(frozen=True)
class ClassifyRecipe:
    """What is trained and how; the defaults of each stream are the shipped model's.

    Attributes:
        rounds: what is gone through in turn; batch: crops a step.
        views, sure, second_look: how the trained network answers, see ``ModelCard``.
        mixup: parameter of the beta distribution by which two crops are blended (Zhang et al., ICLR 2018); 0 for none.
        balance: power of a class's frequency by which it is drawn more often (1 draws all classes alike).
        frozen: the network's first modules, which keep their start weights where the architecture has them. It takes
            off almost half of a step's time; whether it helps or costs accuracy was not measured.
        folds, fold: the development fold held out, dealt by group; None trains on everything.
        fold_of: sources among which folds are dealt; () for all.
        left_out: sources that are held out whole: laboratories that the network does not see, and answers for.
        exclude: sources that are neither seen nor answered for.
        piece: fields of a block that stay on one side of a split.
        healthy: fields whose red cells are known to be neither sickle nor infected.
        within: share of the loss that is taken among the classes of the crop's own laboratory alone, so that a
            laboratory's look tells no class.
        source_balance: power of a laboratory's frequency within a class by which it is drawn more often.
        borrowed: how often a crop is given the ground and the densities of a crop of any laboratory, so that a look
            tells no class.
        rare: class to the factor by which it is drawn less often than the balance says.
        styles: share of the batches whose crops swap styles within the network, see ``styles.py``.
        density: whether crops are brought to the reference's ground and density first, see ``normalising``.
    """

    rounds: tuple[Round, ...]
    mixup: float = 0.0
    views: Literal[1, 2, 4] = 1
    sure: float = 1.0
    second_look: Literal["mirrors", "green"] = "mirrors"
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    balance: float = 0.7
    frozen: tuple[str, ...] = ("conv_stem", "bn1", "blocks.0", "blocks.1")
    folds: int = 5
    fold: int | None = None
    fold_of: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    piece: int = PIECE
    healthy: Healthy | None = None
    within: float = 0.5
    source_balance: float = 0.5
    borrowed: float = 0.0
    rare: Mapping[str, float] = field(default_factory=dict)
    styles: float = 0.0
    density: bool = False
    seed: int = 20_26


RECIPES = {
    "wbc": ClassifyRecipe(
        (Round(8, (FINE, FAR_WIDE, FAR_HARD)),),
        mixup=0.1,
        views=4,
        sure=0.7,
        borrowed=0.25,
        rare={"blast": 0.4},
    ),
    "rbc": ClassifyRecipe((Round(6, (DENSE, DENSE, DENSE_HARD)),), batch=64, density=True),
}


def train_classifier(
    stream: str,
    data: Path,
    classes: tuple[str, ...],
    start: Path | None,
    out: Path,
    recipe: ClassifyRecipe,
    architecture: str,
    report: Callable[[str], None],
) -> tuple[LabelledCrops, NDArray[np.int64], NDArray[np.float32]]:
    """Train and write the averaged weights to ``out`` (fp16 safetensors).

    Returns:
        The held-out crops, their rows among all, and their logits (N, C) from the central crop, unjittered; empty
        arrays where no fold is held out.
    """
    import torch

    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    side = STREAMS[stream].geometry.side_px
    crops = load_crops(STREAMS[stream], data, classes, recipe.exclude, recipe.piece, recipe.healthy)
    if recipe.density:
        crops = crops.normalised()
    held = held_out(crops, recipe)
    rows = np.setdiff1d(np.arange(len(crops)), held)
    rows = rows[crops.allowed[rows].any(axis=1)]
    model = classifier_network(architecture, len(classes), drop_rate=0.2)
    if start:
        report(f"start weights: {load_state(model, start)} tensors taken from {start.name}")
        _freeze(model, recipe.frozen)
    mix_styles(model, recipe.styles)
    for number, course in enumerate(recipe.rounds, 1):
        report(f"round {number} of {len(recipe.rounds)}")
        model = _train_round(model, crops, rows, course, recipe, side, rng, report)
    save_state(model, out)
    report(f"{len(rows)} crops {dict(Counter(crops.labels[rows].tolist()))}; weights in {out}")
    seen = centre(crops.windows[held], side)
    return (
        crops,
        held,
        answer_by_views(partial(answers, model), seen, recipe.views, recipe.sure, recipe.second_look).logits,
    )


def held_out(crops: LabelledCrops, recipe: ClassifyRecipe) -> NDArray[np.int64]:
    """Rows that the network does not see: whole sources, and a fold of others."""
    out = np.isin(crops.sources, recipe.left_out)
    if recipe.fold is not None:
        among = np.flatnonzero(np.isin(crops.sources, recipe.fold_of) if recipe.fold_of else np.ones(len(crops), bool))
        dealt = deal_balanced(crops.labels[among].tolist(), crops.groups[among].tolist(), recipe.folds)
        out[among[dealt == recipe.fold]] = True
    return np.flatnonzero(out)


def _train_round(
    model: Any,
    crops: LabelledCrops,
    rows: NDArray[np.int64],
    course: Round,
    recipe: ClassifyRecipe,
    side: int,
    rng: np.random.Generator,
    report: Callable[[str], None],
) -> Any:
    """Train on ``rows`` of the crops, cut to ``side``; returns the averaged network, the one given is used up."""
    import torch

    model = model.to(memory_format=torch.channels_last).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    average = torch.optim.swa_utils.AveragedModel(model, avg_fn=_moving_average, use_buffers=True)
    _half_but_depthwise(model)  # after the copy, which must keep its own kernels
    steps = math.ceil(course.passes * len(rows) / recipe.batch)
    looks = Looks(crops, rows, recipe.borrowed, side)
    weights = _draw_weights(crops.labels[rows], crops.laboratories[rows], recipe)
    allowed, known = torch.from_numpy(crops.allowed), torch.from_numpy(crops.known)
    running = 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, steps)
        drawn = rng.choice(rows, recipe.batch, p=weights)
        pictures = [
            jitter(*looks.shown(i, rng), side, course.jitters[rng.integers(len(course.jitters))], rng) for i in drawn
        ]
        images, possible = _tensor(np.stack(pictures)), allowed[torch.from_numpy(drawn)]
        own = known[torch.from_numpy(drawn)]
        share = float(rng.beta(recipe.mixup, recipe.mixup)) if recipe.mixup else 1.0
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images * share + images.flip(0) * (1 - share) if share < 1 else images).float()
        loss = share * _loss(logits, possible, own, recipe.within)
        if share < 1:
            loss = loss + (1 - share) * _loss(logits, possible.flip(0), own.flip(0), recipe.within)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        average.update_parameters(model)
        running = running * 0.95 + 0.05 * float(loss.detach()) if step else float(loss.detach())
        if step % 50 == 49:
            report(f"step {step + 1} of {steps}: loss {running:.3f}")
    return average.module


class Looks:
    """Shows a crop's window in its own colours, or in those of a crop of any laboratory, each as likely."""

    def __init__(self, crops: LabelledCrops, rows: NDArray[np.int64], borrowed: float, side: int) -> None:
        self._crops, self._borrowed = crops, borrowed
        if borrowed:
            self._tissue = tissue_density(centre(crops.windows, side), crops.grounds)
            own = crops.laboratories[rows]
            self._members = [rows[own == name] for name in np.unique(own)]

    def shown(self, row: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A window (W, W, 3) and its ground (3,)."""
        window, ground = self._crops.windows[row], self._crops.grounds[row]
        if not self._borrowed or rng.random() >= self._borrowed:
            return window, ground
        other = rng.choice(self._members[rng.integers(len(self._members))])
        noise = np.exp(rng.normal(0, 0.1, 3)).astype(np.float32)
        table = look_table(ground, self._tissue[row], self._crops.grounds[other], self._tissue[other] * noise)
        return normalise(window, table), table[ground, np.arange(3)]


def partial_loss(logits: Any, allowed: Any) -> Any:
    """-log of the summed probability of the classes that a label leaves possible; (N, C) float and bool."""
    possible = logits.masked_fill(~allowed, float("-inf"))
    return (logits.logsumexp(1) - possible.logsumexp(1)).mean()


def _loss(logits: Any, allowed: Any, known: Any, within: float) -> Any:
    """The loss among all classes, and among those ``known`` (N, C) to the crop's own laboratory."""
    if not within:
        return partial_loss(logits, allowed)
    return (1 - within) * partial_loss(logits, allowed) + within * partial_loss(
        logits.masked_fill(~known, -1e4), allowed & known
    )


def _freeze(model: Any, names: Sequence[str]) -> None:
    """Hold modules at their weights and running statistics, those that the architecture has."""
    from timm.utils.model import freeze

    known = {name for name, _ in model.named_modules()}
    if held := [name for name in names if name in known]:
        freeze(model, held)


def _half_but_depthwise(model: Any) -> None:
    """Keep depthwise kernels in float32 under autocast: their backward pass is several times slower in bfloat16."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d) and module.groups > 1:
            setattr(module, "forward", _in_float32(module.forward))  # noqa: B010  mypy knows forward as a method


def _in_float32(forward: Callable[[Any], Any]) -> Callable[[Any], Any]:
    import torch

    def call(inputs: Any) -> Any:
        with torch.autocast("cpu", enabled=False):
            return forward(inputs.float())

    return call


def answers(model: Any, crops: NDArray[np.uint8], batch: int = 32) -> Answers:
    """What a timm network says of crops (N, S, S, 3) uint8."""
    import torch

    model.eval()
    logits, features = [], []
    with torch.inference_mode():
        for first in range(0, len(crops), batch):
            own = model.forward_head(model.forward_features(_tensor(crops[first : first + batch])), pre_logits=True)
            features.append(own.numpy())
            logits.append(model.get_classifier()(own).numpy())
    if not logits:
        return Answers(np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32))
    return Answers(np.concatenate(logits), np.concatenate(features))


def _tensor(pictures: NDArray[np.uint8]) -> Any:
    import torch

    images = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)
    return ((images.float() / 255 - MEAN[0]) / STD[0]).contiguous(memory_format=torch.channels_last)


def _draw_weights(
    labels: NDArray[np.str_], laboratories: NDArray[np.str_], recipe: ClassifyRecipe
) -> NDArray[np.float64]:
    count = Counter(labels.tolist())
    pairs = list(zip(labels.tolist(), laboratories.tolist(), strict=True))
    own = Counter(pairs)
    weights = np.array(
        [
            recipe.rare.get(label, 1.0)
            * count[label] ** -recipe.balance
            * (own[label, lab] / count[label]) ** -recipe.source_balance
            for label, lab in pairs
        ]
    )
    return np.asarray(weights / weights.sum(), np.float64)


def _moving_average(average: Any, current: Any, seen: Any) -> Any:
    share = min(0.99, (float(seen) + 1) / (float(seen) + 10))
    return average * share + current * (1 - share)


def _schedule(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / 30) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))
