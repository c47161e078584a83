"""The plain methods that a head is measured against: nearest neighbours in shared-gene space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.metrics import f1_score

from backend.models.common.baselines import harmony_space, knn_labels
from backend.models.common.prep import Prepared

#: Neighbours that vote, and cells of a reference and of a query at most.
VOTES, MOST_CELLS = 15, 2_000
#: Fewer shared genes than this are no reference.
LEAST_GENES = 5
GENES, HARMONY = "kNN in shared genes", "kNN after Harmony"


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled cells of one section: log-normalised expression and classes (n,)."""

    dataset: str
    prepared: Prepared
    classes: NDArray[np.int64]


def plain_figures(
    sections: Sequence[Labelled], fold: NDArray[np.int64], *, harmony: bool = True
) -> dict[str, Mapping[str, float]]:
    """Return accuracy and macro-F1 of the plain methods on held-out cells.

    Parameters
    ----------
    sections : sequence of Labelled
    fold : (n,) int64
        Of all their cells, one after another.
    harmony : bool
        Whether to align the two with Harmony as well, where it is installed.

    Notes
    -----
    Held-out cells of a section are labelled by the other cells of its data set, or where that is
    held out whole by the data set that shares most genes with it.
    """
    ends = np.cumsum([len(s.classes) for s in sections])
    folds = np.split(fold, ends[:-1])
    use_harmony = harmony and find_spec("harmonypy") is not None
    truth: list[NDArray[np.int64]] = []
    guesses: dict[str, list[NDArray[np.int64]]] = {GENES: []}
    if use_harmony:
        guesses[HARMONY] = []
    for out in np.unique(fold):
        for query, own in zip(sections, folds, strict=True):
            reference = _reference(query, sections, folds, int(out))
            rows = _some(np.flatnonzero(own == out))
            if reference is None or not len(rows):
                continue
            _label(query, rows, *reference, truth, guesses)
    if not truth:
        return {}
    right = np.concatenate(truth)
    return {name: _figures(right, np.concatenate(g)) for name, g in guesses.items()}


def _reference(
    query: Labelled, sections: Sequence[Labelled], folds: Sequence[NDArray[np.int64]], out: int
) -> tuple[NDArray[np.int64], list[csr_matrix], NDArray[np.int64]] | None:
    """Genes, expression and classes of the data set that labels a query, or None."""
    left: dict[str, list[tuple[Labelled, NDArray[np.int64]]]] = {}
    for section, fold in zip(sections, folds, strict=True):
        rows = np.flatnonzero(fold != out)
        if len(rows):
            left.setdefault(section.dataset, []).append((section, rows))
    best: tuple[int, str, NDArray[np.int64]] = (0, "", np.zeros(0, np.int64))
    for dataset, members in left.items():
        genes = query.prepared.genes
        for section, _ in members:
            genes = np.intersect1d(genes, section.prepared.genes)
        score = len(genes) + (10**9 if dataset == query.dataset else 0)
        if len(genes) >= LEAST_GENES and score > best[0]:
            best = (score, dataset, genes)
    if not best[1]:
        return None
    parts, classes = [], []
    for section, rows in left[best[1]]:
        some = _some(rows, MOST_CELLS // len(left[best[1]]))
        parts.append(_columns(section.prepared, some, best[2]))
        classes.append(section.classes[some])
    return best[2], parts, np.concatenate(classes)


def _label(
    query: Labelled,
    rows: NDArray[np.int64],
    genes: NDArray[np.int64],
    parts: list[csr_matrix],
    classes: NDArray[np.int64],
    truth: list[NDArray[np.int64]],
    guesses: dict[str, list[NDArray[np.int64]]],
) -> None:
    """Label some cells of a query, and note truth and guesses of those that can be got right."""
    own = query.classes[rows]
    fair = np.isin(own, classes)
    if not fair.any():
        return
    reference, cells = csr_matrix(vstack(parts)), _columns(query.prepared, rows, genes)
    truth.append(own[fair])
    guesses[GENES].append(knn_labels(reference, classes, cells, VOTES)[fair])
    if HARMONY in guesses:
        a, b = harmony_space(reference, cells)
        guesses[HARMONY].append(knn_labels(a, classes, b, VOTES)[fair])


def _columns(prepared: Prepared, rows: NDArray[np.int64], genes: NDArray[np.int64]) -> csr_matrix:
    order = np.argsort(prepared.genes, kind="stable")
    at = order[np.searchsorted(prepared.genes[order], genes)]
    return csr_matrix(prepared.x[rows][:, at])


def _some(rows: NDArray[np.int64], most: int = MOST_CELLS) -> NDArray[np.int64]:
    """At most ``most`` rows, evenly."""
    return rows[:: max(1, -(-len(rows) // max(most, 1)))]


def _figures(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> dict[str, float]:
    return {
        "accuracy": float((truth == guess).mean()),
        "macro_f1": float(f1_score(truth, guess, average="macro", labels=np.unique(truth))),
    }
