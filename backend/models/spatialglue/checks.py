"""What a multi-omics section must be for this model; everything wrong is said at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_matrix

from backend.core.data import Modality, SectionData
from backend.core.errors import BadFile, Fault

#: Spots below which there is no neighbourhood to speak of.
LEAST_SPOTS = 20
#: Kinds whose values are counts.
COUNTED = ("rna", "protein", "atac")
#: Names listed in a message.
_LISTED = 5


def refuse_faults(
    sections: Sequence[SectionData], components: int | None, *, empty: bool = False
) -> None:
    """Raise BadFile with every fault of every section.

    Parameters
    ----------
    sections : sequence of SectionData
    components : int or None
        Components that each modality must be able to give, where asked for.
    empty : bool
        Whether spots without any count in a modality are allowed.

    Raises
    ------
    BadFile
    """
    for section in sections:
        faults = list(_faults(section, components, empty))
        if faults:
            raise BadFile(section.title, faults)


def empty_as_missing(section: SectionData) -> SectionData:
    """Return the section with spots that have no count in a modality marked as lacking it."""
    changed = tuple(
        replace(m, present=m.present & ~_is_empty(m)) if m.kind in COUNTED else m
        for m in section.modalities
    )
    return replace(section, modalities=changed)


def _faults(section: SectionData, components: int | None, empty: bool) -> Iterator[Fault]:
    n = section.n_cells
    if not section.modalities:
        yield Fault("there is no modality", "section", "at least one matrix of spots x features",
                    "Give an .h5mu file, or one .h5ad file per modality.")  # fmt: skip
    if n < LEAST_SPOTS:
        noun = "there is one spot" if n == 1 else f"there are {n} spots"
        yield Fault(noun, "spots", f"at least {LEAST_SPOTS} spots of one section",
                    "Give the whole section; domains are made of neighbouring spots.")  # fmt: skip
    yield from _place_faults(section)
    for modality in section.modalities:
        yield from _value_faults(modality, components, empty)


def _place_faults(section: SectionData) -> Iterator[Fault]:
    where = "obsm['spatial']"
    bad = int((~np.isfinite(section.xy).all(axis=1)).sum())
    if bad:
        yield Fault(f"{bad:,} spots have coordinates that are not finite", where,
                    "two finite numbers per spot", "Leave these spots out.")  # fmt: skip
    shared = section.n_cells - np.unique(section.xy, axis=0).shape[0]
    if shared:
        yield Fault(
            f"{shared:,} of {section.n_cells:,} spots have the coordinates of another spot", where,
            "one place per spot, one section per file",
            "Keep one of each: adata[~pd.DataFrame(adata.obsm['spatial']).duplicated().values]; "
            "sections that lie on top of each other go into files of their own.",
        )  # fmt: skip


def _value_faults(m: Modality, components: int | None, empty: bool) -> Iterator[Fault]:
    data = m.values.data if isinstance(m.values, csr_matrix) else m.values
    bad = int((~np.isfinite(data)).sum())
    if bad:
        yield Fault(f"{bad:,} values are not finite", m.name, "finite numbers",
                    "Replace them, or leave the features out.")  # fmt: skip
        return
    negative = int((data < 0).sum()) if m.kind in COUNTED else 0
    if negative:
        yield Fault(f"{negative:,} values are below zero (down to {data.min():.3g})", m.name,
                    f"raw {m.kind} counts, from zero up",
                    "Give the raw counts, not scaled values.")  # fmt: skip
    yield from _feature_faults(m, components)
    counted = m.kind in COUNTED and not negative and not empty
    none = np.flatnonzero(_is_empty(m) & m.present & counted)
    if len(none):
        yield Fault(
            f"{len(none):,} spots have no count at all (first: row {none[0]})", m.name,
            "at least one count per spot",
            "Leave them out, or pass --empty missing to treat the modality as missing there.",
        )  # fmt: skip


def _feature_faults(m: Modality, components: int | None) -> Iterator[Fault]:
    rows = m.values[np.flatnonzero(m.present)]
    if not rows.shape[0]:
        yield Fault("no spot has it", m.name, "at least some spots", "Leave the modality out.")
        return
    low, high = (_dense(f(axis=0)) for f in (rows.min, rows.max))
    constant = low == high
    # A feature that was never detected is common and harmless; it is left out without a word.
    odd = np.flatnonzero(constant & (high != 0)) if rows.shape[0] > 1 else np.zeros(0, np.int64)
    if len(odd):
        names = ", ".join(m.features[j] for j in odd[:_LISTED])
        yield Fault(f"{len(odd):,} features have one value in all spots ({names})", m.name,
                    "features that vary", "Leave them out.")  # fmt: skip
    varying = int((~constant).sum())
    if not varying and rows.shape[0] > 1:
        yield Fault("no feature varies between spots", m.name, "features that vary",
                    "Give another matrix, or leave the modality out.")  # fmt: skip
    elif components is not None and varying < components:
        yield Fault(
            f"{varying:,} features that vary, fewer than the {components} components asked for",
            m.name, f"at least {components} features",
            f"Pass --components {max(varying - 1, 1)} or fewer.",
        )  # fmt: skip


def _dense(x: object) -> np.ndarray:
    """Flatten what sparse and dense matrices return for a minimum."""
    return np.asarray(x.todense() if hasattr(x, "todense") else x).ravel()


def _is_empty(m: Modality) -> np.ndarray:
    return np.asarray(abs(m.values).sum(axis=1)).ravel() == 0
