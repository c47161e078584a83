"""A section as a pretrained transformer sees it: states of its cells, and scores of pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.spatialformer.transformer.keep import Pretrained
from backend.models.spatialformer.transformer.score import embed_cells, read_cells
from backend.models.spatialformer.transformer.sketch import pretrained_on

#: Cells of a section at most: above, encoding them takes minutes.
MOST_CELLS = 30_000
#: Pairs that are matched at once.
BLOCK = 8192


@dataclass(frozen=True, slots=True)
class Learnt:
    """Cells of one section.

    Parameters
    ----------
    states : (n, D) float32
        What the transformer compares of each cell.
    pretrained : Pretrained
    known_as : str
        The section of the pretraining whose cells these are; empty where it was not seen.
    notes : tuple of str
    """

    states: NDArray[np.float32]
    pretrained: Pretrained
    known_as: str
    notes: tuple[str, ...]

    def scores(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the score of each pair of rows, (m,)."""
        match = self.pretrained.model.match
        assert match is not None
        states = torch.from_numpy(self.states)
        with torch.no_grad():
            parts = [
                match(states[a[i : i + BLOCK]], states[b[i : i + BLOCK]]).numpy()
                for i in range(0, len(a), BLOCK)
            ]
        return np.concatenate([np.zeros(0), *parts])


def learn_section(
    pretrained: Pretrained, section: SectionData, ctx: RunContext
) -> tuple[Learnt | None, str]:
    """Return a section as the transformer sees it; or None, and why not.

    Raises
    ------
    NoSharedGenes
        If no gene is in the vocabulary.
    """
    if pretrained.model.match is None:
        return None, "The transformer has no match of two cells: it was left out."
    if section.n_cells > MOST_CELLS:
        return None, (
            f"The transformer was left out: it encodes at most {MOST_CELLS:,} cells here, "
            f"the section has {section.n_cells:,}."
        )
    read = read_cells(pretrained, section.counts, section.genes, meta_of(section))
    states = embed_cells(pretrained, read, ctx)
    return Learnt(states, pretrained, pretrained_on(pretrained.card, read.cells), read.notes), ""


def meta_of(section: SectionData) -> dict[str, str]:
    """Return what a section says of itself, for the meta tokens."""
    known = {"species": section.species, "assay": section.technology}
    return {k: v for k, v in known.items() if v}


def unseen_words(card: Mapping[str, Any]) -> str:
    """Return the AUC on sections that were held out of pretraining, in one sentence."""
    found = card.get("metrics", {}).get("unseen", {})
    if not found:
        return "Its card holds no figures on unseen sections."
    hard = [f["30"]["hard"] for f in found.values()]
    easy = [f["30"]["easy"] for f in found.values()]
    return (
        f"On {len(found)} sections that it never saw its score has AUC {min(hard):.2f}-"
        f"{max(hard):.2f} against cells 80-150 µm apart and {min(easy):.2f}-{max(easy):.2f} "
        "against farther ones; .5 is chance."
    )
