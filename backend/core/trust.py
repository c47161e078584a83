"""Columns of an atlas's table of trust in imputed genes: said once, written and read by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.core.layers import LayerKey

#: How certain the imputed values of a cell are, 0..1; written with the embedding.
CERTAINTY = LayerKey("confidence", "imputation")
#: What imputed values are; median depth is that of the sections that measured the gene.
IMPUTED_UNIT = "log1p of counts per median depth, imputed"
#: A data set that shares fewer genes than this with the others is flagged.
FEW_BRIDGES = 50
#: Parameter of the embedding's provenance that holds ``few_bridges``.
FEW_BRIDGE_GENES = "few_bridge_genes"
#: What genes are where programs of factors say them: see ``backend.runs.factors_atlas``.
DENOISED_UNIT = "expected counts per 10,000, denoised by factors"
#: Plain baselines in the order of their codes, as a reader sees them.
BASELINE_NAMES = ("nearest neighbours in shared genes", "ridge regression on shared genes")


def imputed_unit(model: str) -> str:
    """Return what imputed values are, by the model that made the embedding."""
    return DENOISED_UNIT if model == "inspire" else IMPUTED_UNIT


class GeneTrust(NamedTuple):
    """What is known of how well one gene is imputed; nan where it could not be tested.

    held_out_r : mean over sections of Pearson's r with the gene hidden from the whole data set
    baseline_r : the same of the better plain baseline
    predicted_r : r to expect where the gene was not measured, from the spread of its scores
    spearman : as held_out_r, of ranks
    baseline : place in ``BASELINE_NAMES`` of that better baseline
    spread : standard deviation of the gene where measured, log1p of counts per median depth
    tests : sections that it was tested in
    """

    held_out_r: float
    baseline_r: float
    predicted_r: float
    spearman: float = float("nan")
    baseline: float = float("nan")
    spread: float = float("nan")
    tests: float = float("nan")

    @property
    def is_tested(self) -> bool:
        """Whether the gene was hidden somewhere, beside a baseline."""
        return bool(np.isfinite(self.held_out_r) and np.isfinite(self.baseline_r))

    @property
    def baseline_name(self) -> str:
        """Name of the better baseline; the first one where the table does not say."""
        known = np.isfinite(self.baseline)
        return BASELINE_NAMES[int(self.baseline) if known else 0]


COLUMNS = len(GeneTrust._fields)


def gene_trust(table: NDArray[np.float32] | None, gene: int) -> GeneTrust | None:
    """Return the row of a gene, or None without a table; older tables have three columns."""
    if table is None:
        return None
    return GeneTrust(*(float(v) for v in table[gene][:COLUMNS]))


def few_bridges(card: Mapping[str, Any]) -> dict[str, int]:
    """Return the flagged data sets of a checkpoint's card, and how many genes each shares."""
    shared = card.get("bridge_genes", {})
    return {name: int(shared[name]) for name in card.get("few_bridge_genes", ()) if name in shared}


def few_bridges_text(name: str, shared: int) -> str:
    """Say that what is imputed in a data set rests on little."""
    noun = "gene" if shared == 1 else "genes"
    return (
        f"{name} shares only {shared} {noun} with other data sets (fewer than {FEW_BRIDGES}): "
        "what is imputed there rests on little."
    )
