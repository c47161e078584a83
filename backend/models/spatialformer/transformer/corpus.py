"""What the transformer learns from: sections as ranked tokens with places and co-occurrence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.errors import TooFewCells
from backend.models.spatialformer.transformer.tokens import Ranked, corpus_medians, ranked
from backend.models.spatialformer.transformer.vocabulary import Vocabulary, make_vocabulary
from backend.models.spatialformer.transformer.windows import Places, places_of

#: A cell with fewer genes is left out of training.
LEAST_GENES = 5
#: Cells without which a section is not used.
LEAST_CELLS = 50


@dataclass(frozen=True, slots=True)
class Source:
    """One section as it comes.

    Parameters
    ----------
    name : str
    counts : (n, g) csr_matrix
    genes : tuple of g str
    xy : (n, 2) float32
        Micrometres.
    meta : mapping
        ``condition``, ``tissue``, ``species``, ``assay``, as far as known.
    together : (m, 3) int64
        Rows (cell, gene column, gene column) of genes that co-occur in a cell; empty from counts.
    seen : (n,) bool
        Cells whose transcripts were looked at; the others say nothing of co-occurrence.
    """

    name: str
    counts: csr_matrix
    genes: tuple[str, ...]
    xy: NDArray[np.float32]
    meta: Mapping[str, str] = field(default_factory=dict)
    together: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    seen: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))


@dataclass(frozen=True, slots=True)
class Lesson:
    """One section as tokens.

    ``together`` holds (cell, low token, high token), sorted; ``seen`` is (n,).
    """

    name: str
    cells: Ranked
    meta: NDArray[np.int64]
    places: Places
    together: NDArray[np.int64]
    seen: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Corpus:
    """All sections, with the vocabulary and the medians made from them."""

    vocabulary: Vocabulary
    medians: NDArray[np.float32]
    lessons: tuple[Lesson, ...]

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return sum(lesson.cells.n_cells for lesson in self.lessons)


def make_corpus(sources: Sequence[Source], vocabulary: Vocabulary | None = None) -> Corpus:
    """Return the corpus of some sections; cells with fewer than 5 genes are left out.

    Raises
    ------
    TooFewCells
        If no section has 50 cells with 5 genes.
    """
    vocabulary = vocabulary or make_vocabulary(
        (s.genes for s in sources), (dict(s.meta) for s in sources)
    )
    columns = [vocabulary.gene_ids(s.genes) for s in sources]
    medians = corpus_medians(
        [(s.counts, ids) for s, ids in zip(sources, columns, strict=True)], len(vocabulary)
    )
    lessons = [
        _lesson(s, ids, vocabulary, medians) for s, ids in zip(sources, columns, strict=True)
    ]
    used = tuple(x for x in lessons if x.cells.n_cells >= LEAST_CELLS)
    if not used:
        raise TooFewCells(
            f"No section has {LEAST_CELLS} cells with at least {LEAST_GENES} genes.",
            "Train on more cells, or on a larger panel.",
        )
    return Corpus(vocabulary, medians, used)


def _lesson(
    source: Source, columns: NDArray[np.int64], vocabulary: Vocabulary, medians: NDArray[np.float32]
) -> Lesson:
    filled = np.asarray((source.counts > 0).sum(axis=1)).ravel() >= LEAST_GENES
    keep = np.flatnonzero(filled & np.isfinite(source.xy).all(axis=1))
    cells = ranked(csr_matrix(source.counts[keep]), columns, medians)
    seen = source.seen[keep] if len(source.seen) else np.zeros(len(keep), np.bool_)
    return Lesson(
        source.name,
        cells,
        vocabulary.meta_ids(dict(source.meta)),
        places_of(source.xy[keep]),
        _tokens_together(source.together, keep, columns),
        seen,
    )


def _tokens_together(
    together: NDArray[np.int64], keep: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return (kept cell, low token, high token), sorted by cell."""
    row = np.full(int(max(keep.max(initial=-1), together[:, 0].max(initial=-1))) + 1, -1, np.int64)
    row[keep] = np.arange(len(keep))
    cell, tokens = row[together[:, 0]], np.sort(columns[together[:, 1:]], axis=1)
    used = (cell >= 0) & (tokens >= 0).all(axis=1)
    return np.unique(np.column_stack([cell, tokens])[used], axis=0)
