"""Mixing the styles of crops, so that a laboratory's look tells less (MixStyle, Zhou et al., ICLR 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BLOCKS = ("blocks.1", "blocks.2")
"""Modules behind whose outputs styles are mixed: early ones, which see colour and texture more than cells."""
ALPHA = 0.2
"""Of the beta distribution that says how much of a crop's own style is kept; small ones keep or swap it."""


def mix_styles(model: Any, share: float, blocks: Sequence[str] = BLOCKS) -> None:
    """Mix, in a share of the training batches, the channels' means and deviations of each crop with another one's.

    Modules that the architecture does not have are passed over. Nothing is mixed once the network is in evaluation.
    """
    known = dict(model.named_modules())
    for name in blocks:
        if share and name in known:
            known[name].register_forward_hook(_Mixing(share))


class _Mixing:
    """A forward hook: a plain object, so that a copy of the network can be made and kept."""

    def __init__(self, share: float) -> None:
        self._share = share

    def __call__(self, module: Any, inputs: Any, outputs: Any) -> Any:
        import torch

        if not module.training or not torch.is_grad_enabled() or torch.rand(()) > self._share:
            return outputs
        values = outputs.float()
        mean = values.mean((2, 3), keepdim=True).detach()
        deviation = (values.var((2, 3), keepdim=True) + 1e-6).sqrt().detach()
        other = torch.randperm(len(values))
        kept = torch.distributions.Beta(ALPHA, ALPHA).sample((len(values), 1, 1, 1))
        new_mean = kept * mean + (1 - kept) * mean[other]
        new_deviation = kept * deviation + (1 - kept) * deviation[other]
        return ((values - mean) / deviation * new_deviation + new_mean).to(outputs.dtype)
