"""What the published runs used, case by case, and what their programs did beside the paper."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

#: What the features are: one kind, or two side by side, the first of them proteins or peaks.
Case = Literal["poisson", "nb", "gaussian", "poisson+nb", "gaussian+nb"]
Rule = Literal["adam", "sgd"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A weight that goes from ``first`` to ``last`` in equal ratios.

    Parameters
    ----------
    first, last : float
        Above zero.
    start, length : int
        Epoch at which it begins to change, and epochs that it takes.
    """

    first: float = 1.0
    last: float = 1.0
    start: int = 0
    length: int = 1

    def at(self, epoch: int) -> float:
        """Return the weight of an epoch."""
        part = min(max((epoch - self.start) / self.length, 0.0), 1.0)
        return self.first * (self.last / self.first) ** part


@dataclass(frozen=True, slots=True)
class Peculiarities:
    """What the reference does though the paper does not, each one to be switched off.

    Parameters
    ----------
    node_decoder_untrained : bool
        Poisson and NB: the decoder of the pre-training is replaced after the optimiser was made,
        so that it never learns.
    joint_untrained : bool
        Two modalities: encoder and decoder are replaced after the optimiser was made; pre-training
        changes nothing and is left out.
    genes_minus_proteins : bool
        Gaussian and NB together: the protein mean is subtracted from the gene residual. Possible
        only where there are as many proteins as genes; off, since it is so in one data set only.
    kept_every : int
        The state is kept after every epoch that this divides, and the last kept state is used. One
        keeps the last.
    image_twice : bool
        Gaussian: the weight of the image term is applied twice.
    truncated : bool
        Pre-training on counts sees totals cut to whole numbers, enhancement does not.
    """

    node_decoder_untrained: bool = True
    joint_untrained: bool = True
    genes_minus_proteins: bool = False
    kept_every: int = 200
    image_twice: bool = True
    truncated: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """One published run.

    Parameters
    ----------
    case : str
    pretrain_rate, pretrain_epochs, pretrain_rule : learning rate, epochs, optimiser of step 1
    rate, epochs : of step 2, always Adam
    pretrain_scale, scale : float
        Divides the fit of step 1 and of step 2; for Gaussian features also bounds their spread.
    scale_first : float
        As ``scale``, for the first of two modalities.
    image_weight : float
    beta : Schedule
        Weight of the divergence in step 1; it is 1 in step 2.
    gamma : Schedule
        Weight of the whole loss in step 2.
    """

    case: Case
    pretrain_rate: float
    pretrain_epochs: int
    rate: float
    epochs: int
    pretrain_rule: Rule = "adam"
    pretrain_scale: float = 1.0
    scale: float = 1.0
    scale_first: float = 1.0
    image_weight: float = 1.0
    beta: Schedule = field(default_factory=Schedule)
    gamma: Schedule = field(default_factory=Schedule)
    seed: int = 0
    peculiar: Peculiarities = field(default_factory=Peculiarities)


INTESTINE = Settings(
    "nb", 1e-3, 2500, 5e-4, 2500, pretrain_scale=10.0, gamma=Schedule(1, 0.01, 5000, 10_000)
)
EMBRYO = Settings(
    "poisson", 1e-3, 5000, 1e-4, 5000, beta=Schedule(0.001, 1, 5000, 5000),
    gamma=Schedule(1, 0.001, 10_000, 20_000), seed=6172,
)  # fmt: skip
LIVER = Settings(
    "gaussian", 1e-4, 10_000, 1e-3, 10_000, pretrain_rule="sgd",
    gamma=Schedule(1, 1e-4, 25_000, 10_000),
)  # fmt: skip
SKIN = Settings("poisson+nb", 1e-3, 8000, 1e-4, 8000, gamma=Schedule(1, 0.001, 20_000, 10_000))
BRAIN = Settings(
    "gaussian+nb", 1e-3, 8000, 1e-4, 8000, scale_first=0.05, gamma=Schedule(1, 0.001, 5000, 10_000)
)
KIDNEY = Settings("nb", 1e-3, 8000, 1e-4, 8000, scale=0.5, gamma=Schedule(1, 0.01, 5000, 10_000))
#: The run of the parity fixtures: EMBRYO with fewer epochs and a faster second step.
FIXTURE = Settings(
    "poisson", 1e-3, 600, 1e-3, 1000, beta=EMBRYO.beta, gamma=EMBRYO.gamma, seed=6172
)
