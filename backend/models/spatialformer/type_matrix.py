"""Types by types: how likely cells of two types are neighbours, predicted and observed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.models.spatialformer.pair_features import Described
from backend.models.spatialformer.pairs import cell_graph
from backend.models.spatialformer.partners import PairModel

#: Pairs of cells whose mean logit fills one field of the matrix.
DRAWN = 200


def type_matrix(
    section: SectionData,
    model: PairModel,
    cells: Described,
    codes: NDArray[np.int64],
    types: Sequence[int],
    radius: float,
    seed: int,
) -> tuple[list[list[float]], list[list[float]]]:
    """Return predicted and observed log odds that cells of two types are neighbours, (t, t) each.

    Predicted: mean logit of random pairs of cells of the two types, less that of all. Observed: log
    of the contacts over those expected of as many cells placed at random.
    """
    random = np.random.default_rng(seed)
    members = [np.flatnonzero(codes == t) for t in types]
    i, j = np.triu_indices(len(types))
    a = np.concatenate([random.choice(members[x], DRAWN) for x in i])
    b = np.concatenate([random.choice(members[y], DRAWN) for y in j])
    means = model.logits(cells.rows(a), cells.rows(b)).reshape(len(i), DRAWN).mean(axis=1)
    count = np.array([len(m) for m in members], dtype=np.float64)
    share = np.outer(count, count)
    graph = cell_graph(section.xy, radius).tocoo()
    place = np.full(int(codes.max(initial=-1)) + 2, -1)
    place[list(types)] = np.arange(len(types))
    ends = place[codes[graph.row]], place[codes[graph.col]]
    known = (ends[0] >= 0) & (ends[1] >= 0)
    contacts = np.zeros((len(types), len(types)))
    np.add.at(contacts, (ends[0][known], ends[1][known]), 1.0)
    expected = share * contacts.sum() / share.sum()
    predicted = np.zeros_like(contacts)
    predicted[i, j] = means
    predicted[j, i] = means
    predicted -= (predicted * share).sum() / share.sum()
    return predicted.tolist(), np.log((contacts + 1) / (expected + 1)).tolist()


def agreement(matrix: list[list[float]], observed: list[list[float]]) -> float:
    """Return the correlation of predicted and observed log odds over pairs of types."""
    i = np.triu_indices(len(matrix))
    return float(np.corrcoef(np.array(matrix)[i], np.array(observed)[i])[0, 1])
