"""The vocabulary: special tokens, what is known of a section (meta tokens), and genes.

Generation 1 has fixed ids (0 PAD, 1 CLS, 2 MASK, 3 Human, ... 1949 SEP) for 62 human slides. Here
the vocabulary is made from the data it is trained on, of any species, and travels in the
checkpoint; the order of the groups is kept: specials, meta tokens, genes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import BadCheckpoint, NoSharedGenes

PAD, CLS, MASK, SEP = 0, 1, 2, 3
SPECIALS = ("[PAD]", "[CLS]", "[MASK]", "[SEP]")
#: Kinds of meta tokens in the order of the sequence (the code's; the paper's text: species,
#: tissue, condition, assay).
META = ("condition", "tissue", "species", "assay")
#: Stands for a meta value that was not seen in training, or is not known.
UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Names of all tokens.

    Parameters
    ----------
    meta : tuple of str
        ``kind:value``, such as ``species:mouse``; each kind has ``kind:?``.
    genes : tuple of str
        Symbols; case is kept, and is not told apart when looking up.
    """

    meta: tuple[str, ...]
    genes: tuple[str, ...]
    _place: dict[str, int] = field(init=False, repr=False, compare=False)
    _meta: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the names."""
        first = len(SPECIALS) + len(self.meta)
        genes = {g.upper(): first + i for i, g in enumerate(self.genes)}
        meta = {m.upper(): len(SPECIALS) + i for i, m in enumerate(self.meta)}
        absent = [k for k in META if f"{k}:{UNKNOWN}".upper() not in meta]
        if len(genes) < len(self.genes) or absent:
            raise BadCheckpoint("The vocabulary of the checkpoint is damaged.", "Copy it again.")
        object.__setattr__(self, "_place", genes)
        object.__setattr__(self, "_meta", meta)

    def __len__(self) -> int:
        """Return the number of tokens."""
        return self.first_gene + len(self.genes)

    @property
    def first_gene(self) -> int:
        """Id of the first gene; ids below are specials and meta tokens."""
        return len(SPECIALS) + len(self.meta)

    def gene_ids(self, genes: Sequence[str]) -> NDArray[np.int64]:
        """Return the id of each gene, -1 where unknown. The first of two spellings counts.

        Raises
        ------
        NoSharedGenes
            If none is known.
        """
        ids = np.array([self._place.get(g.upper(), -1) for g in genes], dtype=np.int64)
        if not (ids >= 0).any():
            shown = ", ".join(self.genes[:3])
            raise NoSharedGenes(
                f"None of the {len(genes):,} genes is in the vocabulary of the model.",
                f"It knows {len(self.genes):,} genes by symbol, e.g. {shown}; "
                "train one on this panel with: python -m backend spatialformer train",
            )
        known, first = np.unique(ids, return_index=True)
        kept = np.full(len(ids), -1, np.int64)
        kept[first] = known
        return kept

    def meta_ids(self, values: dict[str, str]) -> NDArray[np.int64]:
        """Return the four meta tokens of a section; values that are not known become ``?``."""
        names = [f"{k}:{values.get(k, UNKNOWN)}" for k in META]
        lost = [f"{k}:{UNKNOWN}" for k in META]
        return np.array(
            [self._meta.get(n.upper(), self._meta[o.upper()])
             for n, o in zip(names, lost, strict=True)], dtype=np.int64,
        )  # fmt: skip

    def unknown(self, genes: Sequence[str]) -> tuple[str, ...]:
        """Return the genes that have no token."""
        return tuple(g for g in genes if g.upper() not in self._place)


def make_vocabulary(
    panels: Iterable[Sequence[str]], sections: Iterable[dict[str, str]]
) -> Vocabulary:
    """Return the vocabulary of a corpus, the same whatever the order of its sections.

    Parameters
    ----------
    panels : iterable of sequences of str
        Genes of each section.
    sections : iterable of dict
        ``condition``, ``tissue``, ``species``, ``assay`` of each.
    """
    spelling: dict[str, str] = {}
    for gene in sorted({g for panel in panels for g in panel}):
        spelling.setdefault(gene.upper(), gene)
    seen = {f"{k}:{UNKNOWN}" for k in META}
    for values in sections:
        seen.update(f"{k}:{values[k]}" for k in META if values.get(k))
    order = {k: i for i, k in enumerate(META)}
    meta = sorted(seen, key=lambda m: (order[m.partition(":")[0]], m))
    return Vocabulary(tuple(meta), tuple(spelling[k] for k in sorted(spelling)))
