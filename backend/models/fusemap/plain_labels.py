"""The plain methods that a head is measured against: nearest neighbours in shared-gene space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from backend.models.common.baselines import harmony_space, knn_votes
from backend.models.common.prep import Prepared
from backend.models.fusemap.held_out import accuracy_and_f1

#: Neighbours that vote, and cells of a reference and of a query at most.
VOTES, MOST_CELLS = 15, 2_000
#: Fewer shared genes than this are no reference.
LEAST_GENES = 5
GENES, HARMONY = "kNN in shared genes", "kNN after Harmony"
#: What the model is called beside them.
MODEL = "FuseMap"


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled cells of one section: log-normalised expression and classes (n,)."""

    dataset: str
    prepared: Prepared
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PlainGuess:
    """What a plain method says of some held-out cells.

    rows : (m,) places of the cells, ascending;  log_votes : (m, c) logarithms of shares of votes
    """

    rows: NDArray[np.int64]
    log_votes: NDArray[np.float64]

    def figures(self, classes: NDArray[np.int64]) -> dict[str, float]:
        """Return accuracy and macro-F1, given the classes (n,) of all cells."""
        return accuracy_and_f1(classes[self.rows], self.log_votes.argmax(axis=1))


def plain_guesses(
    sections: Sequence[Labelled], fold: NDArray[np.int64], n_classes: int, *, harmony: bool = True
) -> dict[str, PlainGuess]:
    """Return what the plain methods say of held-out cells; nothing where no reference is left.

    Parameters
    ----------
    sections : sequence of Labelled
    fold : (n,) int64
        Of all their cells, one after another.
    n_classes : int
    harmony : bool
        Whether to align the two with Harmony as well, where it is installed.

    Notes
    -----
    Held-out cells of a section are labelled by the other cells of its data set, or where that is
    held out whole by the data set that shares most genes with it. Cells whose class that reference
    lacks are left out.
    """
    ends = np.cumsum([len(s.classes) for s in sections])
    folds = np.split(fold, ends[:-1])
    found: dict[str, list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = {}
    for out in np.unique(fold):
        for query, own, end in zip(sections, folds, ends, strict=True):
            known = [(s, np.flatnonzero(f != out)) for s, f in zip(sections, folds, strict=True)]
            reference = reference_for(query.dataset, query.prepared.genes, known)
            rows = _some(np.flatnonzero(own == out))
            if reference is None:
                continue
            rows = rows[np.isin(query.classes[rows], reference.classes)]
            first = int(end) - len(own)
            for name, votes in _votes(query.prepared, rows, reference, n_classes, harmony):
                found.setdefault(name, []).append((first + rows, votes))
    return {name: _sorted(parts) for name, parts in found.items()}


def _sorted(parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]) -> PlainGuess:
    rows = np.concatenate([r for r, _ in parts])
    order = np.argsort(rows, kind="stable")
    return PlainGuess(rows[order], np.concatenate([v for _, v in parts])[order])


@dataclass(frozen=True, slots=True)
class PlainReference:
    """The data set that labels a query: shared genes, expression (r, genes) and classes (r,)."""

    dataset: str
    genes: NDArray[np.int64]
    x: csr_matrix
    classes: NDArray[np.int64]

    def log_votes(
        self, query: Prepared, rows: NDArray[np.int64], n_classes: int
    ) -> NDArray[np.float64]:
        """Return logarithms of shares of votes (m, c) for some cells of a query."""
        cells = _columns(query, rows, self.genes)
        return _log(knn_votes(self.x, self.classes, cells, n_classes, VOTES), n_classes)


def reference_for(
    dataset: str,
    genes: NDArray[np.int64],
    known: Sequence[tuple[Labelled, NDArray[np.int64]]],
) -> PlainReference | None:
    """Return the data set that labels a query, or None where all share too few genes.

    Parameters
    ----------
    dataset : str
        That of the query, which is taken first.
    genes : (p,) int64
        Of the query.
    known : sequence of (Labelled, rows of its cells that may be used)
    """
    members: dict[str, list[tuple[Labelled, NDArray[np.int64]]]] = {}
    for section, rows in known:
        if len(rows):
            members.setdefault(section.dataset, []).append((section, rows))
    shared = {name: _shared(genes, own) for name, own in members.items()}
    able = [name for name in shared if len(shared[name]) >= LEAST_GENES]
    if not able:
        return None
    best = max(able, key=lambda name: (name == dataset, len(shared[name])))
    most = MOST_CELLS // len(members[best])
    parts = [(section, _some(rows, most)) for section, rows in members[best]]
    x = vstack([_columns(section.prepared, some, shared[best]) for section, some in parts])
    classes = np.concatenate([section.classes[some] for section, some in parts])
    return PlainReference(best, shared[best], csr_matrix(x), classes)


def _shared(
    genes: NDArray[np.int64], members: Sequence[tuple[Labelled, NDArray[np.int64]]]
) -> NDArray[np.int64]:
    """Genes of a query that all sections of a data set measure."""
    for section, _ in members:
        genes = np.intersect1d(genes, section.prepared.genes)
    return genes


def _votes(
    query: Prepared,
    rows: NDArray[np.int64],
    reference: PlainReference,
    n_classes: int,
    harmony: bool,
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield the name and the votes of every plain method."""
    if not len(rows):
        return
    yield GENES, reference.log_votes(query, rows, n_classes)
    if harmony and find_spec("harmonypy") is not None:
        a, b = harmony_space(reference.x, _columns(query, rows, reference.genes))
        yield HARMONY, _log(knn_votes(a, reference.classes, b, n_classes, VOTES), n_classes)


def _log(share: NDArray[np.float64], n_classes: int) -> NDArray[np.float64]:
    """Logarithm of shares of votes with half a vote for every class."""
    return np.log((VOTES * share + 0.5) / (VOTES + 0.5 * n_classes))


def _columns(prepared: Prepared, rows: NDArray[np.int64], genes: NDArray[np.int64]) -> csr_matrix:
    order = np.argsort(prepared.genes, kind="stable")
    at = order[np.searchsorted(prepared.genes[order], genes)]
    return csr_matrix(prepared.x[rows][:, at])


def _some(rows: NDArray[np.int64], most: int = MOST_CELLS) -> NDArray[np.int64]:
    """At most ``most`` rows, evenly."""
    return rows[:: max(1, -(-len(rows) // max(most, 1)))]
