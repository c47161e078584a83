"""Does the image tell anything? The evidence decides, and controls stand beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.models.soscope.controls import Control
from backend.models.soscope.settings import CHANCE, GATE


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether the image is used, and why.

    Parameters
    ----------
    image : float
        Probability that the image matters, over factors by their size; nan without one.
    fit : float
        How much likelier it makes the spots; see ``Control``.
    controls : tuple of Control
        The same image in wrong places.
    """

    image: float = np.nan
    fit: float = np.nan
    controls: tuple[Control, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the image is used: it matters, and fits better than it would by chance."""
        return bool(self.image >= GATE) and (not self.controls or self.chance <= CHANCE)

    @property
    def chance(self) -> float:
        """Share of all ways to look at the image that fit as well as the way it was sent.

        1 / 20 where none of 19 controls does.
        """
        better = sum(control.fit >= self.fit for control in self.controls)
        return (1 + better) / (1 + len(self.controls))

    @property
    def best(self) -> Control | None:
        """The control that fits best, if one fits as well as the image does."""
        better = [control for control in self.controls if control.fit >= self.fit]
        return max(better, key=lambda control: control.fit, default=None)

    def worst(self, kind: str) -> float:
        """Return the largest probability among the controls of a kind; nan without one."""
        found = [control.probability for control in self.controls if control.kind == kind]
        return max(found, default=np.nan)


def gate_of(image: float, weighed: Sequence[Control]) -> Gate:
    """Return the gate of a section, or of several.

    Parameters
    ----------
    image : float
        Probability that the image matters, from all spots.
    weighed : sequence of Control
        The image as it is, and its controls, from the same spots; none where a choice was made.
    """
    return Gate(image, weighed[0].fit, tuple(weighed[1:])) if weighed else Gate(image)
