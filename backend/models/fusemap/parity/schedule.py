"""When noise fades, when the learning rate falls, when a phase ends. Plain values, so resumable."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from backend.models.fusemap.parity.settings import FIRST_FADE, PhaseSettings, Settings

#: An improvement that a plateau notices is larger than this share of the best loss.
PLATEAU_THRESHOLD = 1e-4
PLATEAU_FACTOR = 0.5


def fading(epoch: int, done: int) -> float:
    """Return the share of the noise that is left.

    Parameters
    ----------
    epoch : int
        From 1 within its phase.
    done : int
        Epochs that ended before, of both phases.

    Notes
    -----
    max(1 - (epoch - 1) / a, 0) with a = 1e10 halved after every epoch: full for the first 24
    epochs, gone a few epochs later.
    """
    return max(1.0 - (epoch - 1) / (FIRST_FADE * 0.5**done), 0.0)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a phase stands.

    Parameters
    ----------
    rate : float
        Learning rate.
    best, waited : float, int
        Best validation loss, and epochs since.
    plateau_best, plateau_waited : float, int
        The same as the learning rate sees it, which ignores tiny improvements.
    """

    rate: float
    best: float = float("inf")
    waited: int = 0
    plateau_best: float = float("inf")
    plateau_waited: int = 0

    def as_json(self) -> dict[str, float | int]:
        """Return JSON values; no loss yet is -1."""
        return {k: v if v != float("inf") else -1.0 for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, values: dict[str, float | int]) -> Progress:
        """Read what ``as_json`` wrote."""
        best, plateau = (
            values[k] if values[k] != -1.0 else float("inf") for k in ("best", "plateau_best")
        )
        waited, plateau_waited = int(values["waited"]), int(values["plateau_waited"])
        return cls(values["rate"], best, waited, plateau, plateau_waited)


def after(progress: Progress, loss: float, phase: PhaseSettings) -> Progress:
    """Return ``progress`` after an epoch with this validation loss."""
    better = loss < progress.best
    now = replace(
        progress, best=min(loss, progress.best), waited=0 if better else progress.waited + 1
    )
    if loss < progress.plateau_best * (1 - PLATEAU_THRESHOLD) or progress.plateau_best == float(
        "inf"
    ):
        return replace(now, plateau_best=loss, plateau_waited=0)
    if progress.plateau_waited < phase.plateau:
        return replace(now, plateau_waited=progress.plateau_waited + 1)
    return replace(now, plateau_waited=0, rate=progress.rate * PLATEAU_FACTOR)


def is_over(progress: Progress, phase: PhaseSettings, settings: Settings) -> bool:
    """Whether the phase ends early."""
    return progress.waited >= phase.stop or progress.rate < settings.least_rate
