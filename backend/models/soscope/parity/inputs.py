"""What a published run reads, checked: profiles, image features, the two graphs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.core.errors import BadRequest
from backend.models.soscope.parity.graphs import Graph
from backend.models.soscope.parity.heads import Sizes
from backend.models.soscope.parity.settings import Case


@dataclass(frozen=True, slots=True)
class Inputs:
    """Spots and their subspots.

    Parameters
    ----------
    profiles : (n, g) float32
        Mean over the subspots of a spot; the two modalities side by side.
    image : (s, l) float32
        Features of the subspots.
    parents : (s,) int
        Spot of each subspot, in ascending order.
    spots, subspots : Graph
    sizes : Sizes
    """

    profiles: NDArray[np.float32]
    image: NDArray[np.float32]
    parents: NDArray[np.int64]
    spots: Graph
    subspots: Graph
    sizes: Sizes


@dataclass(frozen=True, slots=True)
class Tensors:
    """The same on the way through the network; ``k`` subspots a spot, 1 where they differ."""

    x: Tensor
    y: Tensor
    parents: Tensor
    edges: Tensor
    adjacency: Tensor
    likeness: Tensor
    sizes: Sizes
    k: int
    is_even: bool

    def sum_to_spots(self, values: Tensor) -> Tensor:
        """Return the sum over the subspots of each spot; by reshape where all have as many."""
        if self.is_even:
            return values.view(len(self.x), self.k, -1).sum(dim=1)
        blank = torch.zeros(len(self.x), values.shape[1])
        return blank.index_add(0, self.parents, values)


def tensors_of(inputs: Inputs, case: Case) -> Tensors:
    """Return the tensors of a run.

    Raises
    ------
    BadRequest
        With everything in the inputs that does not fit.
    """
    _check(inputs, case)
    n, s = len(inputs.profiles), len(inputs.image)
    counts = np.bincount(inputs.parents, minlength=n)
    is_even = bool((counts == counts[0]).all())
    return Tensors(
        torch.from_numpy(np.ascontiguousarray(inputs.profiles, dtype=np.float32)),
        torch.from_numpy(np.ascontiguousarray(inputs.image, dtype=np.float32)),
        torch.from_numpy(inputs.parents.astype(np.int64)),
        inputs.spots.edges(n),
        inputs.spots.dense(n),
        inputs.subspots.dense(s),
        inputs.sizes,
        int(counts[0]) if is_even else 1,
        is_even,
    )


def _check(inputs: Inputs, case: Case) -> None:
    """Raise with all that does not fit."""
    profiles, parents = inputs.profiles, inputs.parents
    faults = []
    if not len(profiles):
        faults.append("There are no spots.")
    if inputs.sizes.first + inputs.sizes.second != profiles.shape[1]:
        faults.append(f"Profiles have {profiles.shape[1]} features, sizes say {inputs.sizes}.")
    if ("+" in case) != (inputs.sizes.second > 0):
        faults.append(f"Case '{case}' does not go with sizes {inputs.sizes}.")
    if len(parents) != len(inputs.image):
        faults.append(f"{len(parents)} subspots have parents, {len(inputs.image)} an image.")
    if not np.array_equal(np.unique(parents), np.arange(len(profiles))):
        faults.append("Some spots have no subspots, or parents are not spots.")
    elif (np.diff(parents) < 0).any():
        faults.append("Subspots are not in the order of their spots.")
    counts = profiles if not case.startswith("gaussian") else profiles[:, inputs.sizes.first :]
    if not np.isfinite(profiles).all() or (counts < 0).any():
        faults.append(f"Case '{case}' needs counts: finite, not below zero.")
    if faults:
        raise BadRequest("The inputs of soScope do not fit.", *faults)
