"""What an enhancement returns: a section of subspots, with columns and tables."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.data import Column, Label, Matrix, SectionData
from backend.core.layers import Category, LayerKey
from backend.models.soscope.enhance import Enhanced


def subspot_id(section: str) -> str:
    """Return the id of the section of subspots."""
    return f"{section}.subspots"


def subspots_of(
    section: SectionData,
    xy: NDArray[np.float64],
    parent: NDArray[np.int64],
    rate: NDArray[np.float32],
    genes: tuple[str, ...],
) -> SectionData:
    """Return the section of subspots; each is named after its spot."""
    first = np.concatenate([[0], np.flatnonzero(np.diff(parent)) + 1])
    place = np.arange(len(parent)) - np.repeat(first, np.diff([*first, len(parent)]))
    names = [f"{section.names[p]}_{k + 1}" for p, k in zip(parent, place, strict=True)]
    return SectionData(
        id=subspot_id(section.id),
        title=f"{section.title}, subspots",
        xy=xy.astype(np.float32),
        counts=sparse_of(rate),
        genes=genes,
        names=np.array(names),
        labels={name: Label(label.codes[parent], label.categories)
                for name, label in section.labels.items()},
        unit="expected counts",
        xy_unit=section.xy_unit,
        technology=section.technology,
        dataset=section.dataset,
        species=section.species,
    )  # fmt: skip


def sparse_of(values: NDArray[np.float32], least: float = 1e-3) -> csr_matrix:
    """Return a table without its values below ``least``."""
    return csr_matrix(np.where(values >= least, values, 0), dtype=np.float32)


def columns_of(
    section: str,
    found: Enhanced,
    rows: NDArray[np.int64],
    spots: NDArray[np.int64],
    groups: tuple[NDArray[np.int16], NDArray[np.int16], int],
) -> list[Column]:
    """Return domains and scores of a section's spots and subspots.

    Parameters
    ----------
    section : str
    found : Enhanced
        Of all sections.
    rows, spots : (n,) and (N,) int64
        Subspots and spots of this one.
    groups : (N_all,) int16, (n_all,) int16, int
        Domain of each spot and subspot, and how many there are.
    """
    before, after, k = groups
    named = tuple(Category(f"domain {i + 1}", "") for i in range(k))
    fine = subspot_id(section)
    domain = LayerKey("label", "domain")
    scores = [
        (section, "residual", found.residual[spots], "standard deviations"),
        (fine, "uncertainty", found.uncertainty[rows], "share"),
        (fine, "detail", found.detail[rows], "standard deviations of counting"),
    ]
    if found.merge is not None and found.method != "generative":
        change = (100 * found.merge.by_spot[spots]).astype(np.float32)
        scores.append((section, "recovered", change, "% change of deviance"))
    return [
        Column(section, domain, before[spots], named),
        Column(fine, domain, after[rows], named),
        *(Column(name, LayerKey("score", what), v, unit=unit) for name, what, v, unit in scores),
    ]


def matrices_of(
    section: str,
    found: Enhanced,
    rows: NDArray[np.int64],
    parent: NDArray[np.int64],
    genes: tuple[str, ...],
) -> list[Matrix]:
    """Return rate, split, sd and parents of a section's subspots."""
    fine = subspot_id(section)
    return [
        Matrix(fine, "rate", found.rate[rows], genes),
        Matrix(fine, "split", found.split[rows], genes),
        Matrix(fine, "sd", found.sd[rows], genes),
        Matrix(fine, "parent", parent.astype(np.float32)[:, None], ("spot",)),
    ]
