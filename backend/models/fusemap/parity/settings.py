"""Every number of the published procedure, and its known peculiarities as named options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backend.core.errors import BadRequest

#: Divisor of the sum of reconstruction losses when the adversary's weight is set.
ADVERSARY_DIVISOR = 2.0
#: Epochs after which the noise starts to fade, at the start; halved after every epoch.
FIRST_FADE = 1e10


@dataclass(frozen=True, slots=True)
class PhaseSettings:
    """What differs between the phase without and the phase with balance weights.

    Parameters
    ----------
    plateau : int
        Epochs without improvement that the learning rate survives.
    stop : int
        Epochs without improvement after which the phase ends.
    """

    plateau: int
    stop: int


@dataclass(frozen=True, slots=True)
class Settings:
    """The published defaults.

    Parameters
    ----------
    latent, hidden, adversary : int
        Widths of the embeddings, the encoders and the discriminators.
    dropout, slope : float
        Of encoders and discriminators; slope of the leaky ReLU below zero.
    batch : int
        Seed cells per section and step.
    epochs : int
        Of each of the two training phases.
    validate_after : int
        Epochs before the validation loss is first computed.
    validation : float
        Share of cells whose loss is kept for validation.
    noise : float
        Noise on what the discriminators see, in standard deviations of each dimension.
    decode : "minibatch" or "exact"
        As published, a neighbour is rebuilt from the seeds in the batch alone, so that the graph
        is incomplete; exact rebuilds the seeds from all their neighbours.
    double_softmax : bool
        As published, the cross-entropy is taken of probabilities as if they were logits.
    replay : bool
        As published, a small section repeats the batches of its first pass within an epoch; else
        it is shuffled anew.
    auto_adversary : bool
        As published, the weight of the adversary is set by the first batch; else it is 1.
    early_stopping : bool
        As published; else every epoch is run at one learning rate and the last is kept.
    joint_up_to : int
        Most sections for which balance weights come from all sections jointly; more are compared
        pair by pair.
    """

    latent: int = 64
    hidden: int = 512
    adversary: int = 256
    dropout: float = 0.2
    slope: float = 0.2
    batch: int = 64
    epochs: int = 15
    learning_rate: float = 1e-3
    least_rate: float = 1e-5
    validate_after: int = 10
    validation: float = 0.15
    noise: float = 1.5
    decode: Literal["minibatch", "exact"] = "minibatch"
    double_softmax: bool = True
    replay: bool = True
    auto_adversary: bool = True
    early_stopping: bool = True
    joint_up_to: int = 6
    pretrain: PhaseSettings = PhaseSettings(plateau=2, stop=3)
    final: PhaseSettings = PhaseSettings(plateau=3, stop=5)

    def __post_init__(self) -> None:
        """Refuse numbers with which nothing can be trained."""
        if min(self.latent, self.hidden, self.adversary, self.epochs) < 1 or self.batch < 2:
            raise BadRequest(
                "Widths and epochs must be above zero, and a batch needs two cells.",
                f"Given: latent {self.latent}, hidden {self.hidden}, epochs {self.epochs}, "
                f"batch {self.batch}.",
            )
