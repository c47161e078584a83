"""Who tells a query from the reference sections: a learning discriminator beside a frozen one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from backend.models.fusemap.parity.network import Discriminator
from backend.models.fusemap.parity.outputs import Fitted
from backend.models.fusemap.parity.settings import Settings


class Judge(nn.Module):
    """Logits of the query, which are learned, beside frozen ones of the reference sections."""

    def __init__(self, own: Discriminator, trained: Discriminator) -> None:
        super().__init__()
        self.own, self.trained = own, trained
        for layer in ("linear_0", "linear_1"):
            getattr(own, layer).load_state_dict(getattr(trained, layer).state_dict())
        trained.requires_grad_(False)

    def forward(self, z: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Return logits (b, 1 + reference sections) of embeddings (b, k)."""
        return torch.cat([self.own(z, rng), self.trained(z, rng)], dim=1)


def judge_of(fitted: Fitted, own: Discriminator, kind: str, settings: Settings) -> Judge:
    """Return the judge of "cell" or "niche" embeddings, ``own`` being the query's part."""
    trained = Discriminator(len(fitted.sections), settings)
    start = f"{kind}_adversary."
    tensors = {
        name.removeprefix(start): torch.from_numpy(value)
        for name, value in fitted.tensors.items()
        if name.startswith(start)
    }
    trained.load_state_dict(tensors)
    return Judge(own, trained)


def gated(logits: Tensor, least: float) -> Tensor:
    """Return the entropy of the judgement over its maximum: low where the discriminator is sure."""
    shares = torch.softmax(logits.detach(), dim=1)
    entropy = -(shares * shares.clamp_min(1e-12).log()).sum(dim=1)
    return (entropy / math.log(logits.shape[1])).clamp_min(least)
