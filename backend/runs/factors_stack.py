"""Sections of a run laid on one another by their factors, with scores and points to draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.data import SectionData, TaskResult
from backend.core.layers import LayerKey
from backend.models.common.baselines import shared_columns
from backend.models.inspire.align import (
    LANDMARK,
    Laid,
    chain,
    expression_score,
    type_score,
)
from backend.models.inspire.inputs import neighbours
from backend.models.inspire.readout import ROUNDS

#: Points that are drawn of all sections together, and genes of a score.
DRAWN, SCORED_GENES = 12_000, 500
#: Distance between sections of unknown thickness, in parts of the width of the first.
APART = 0.25


def stack(
    sections: Sequence[SectionData],
    result: TaskResult,
    landmarks: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Return how sections lie on one another.

    Parameters
    ----------
    sections : sequence of SectionData
        In the order of the stack; those without places are refused by the caller.
    result : TaskResult
        Of ``integrate_sections``.
    landmarks : sequence of str
        Names of factors whose cells refine the fit.

    Returns
    -------
    dict
        ``steps`` (per section: degrees, shift, anchors, kept, residual, expression and type score
        with the section before, and the same without any movement but that of the centres),
        ``apart`` (distance between sections), ``points`` (per section: x, y, domain), ``unit``.
    """
    spaces = [_places(s, result) for s in sections]
    domains = [_column(s, result, LayerKey("label", "domain")) for s in sections]
    marks = _landmarks(sections, result, landmarks) if landmarks else None
    laid = chain([s.xy for s in sections], spaces, marks, seed)
    moved = [step.rigid.move(s.xy) for step, s in zip(laid, sections, strict=True)]
    width = float(np.ptp(sections[0].xy, axis=0).max())
    steps = [_step(sections, domains, moved, laid, s) for s in range(len(sections))]
    return {
        "steps": steps,
        "apart": APART * width,
        "unit": sections[0].xy_unit,
        "points": _points(moved, domains, seed),
    }


def _places(section: SectionData, result: TaskResult) -> NDArray[np.float64]:
    """Return proportions of places: half own, half neighbours, repeatedly."""
    own = next(m for m in result.matrices if m.name == "proportions" and m.section == section.id)
    p = own.values.astype(np.float64)
    near = neighbours(section.xy)
    for _ in range(ROUNDS):
        p = 0.5 * p + 0.5 * (near @ p)
    return np.asarray(p)


def _column(section: SectionData, result: TaskResult, key: LayerKey) -> NDArray[Any]:
    return next(c.values for c in result.columns if c.section == section.id and c.layer == key)


def _landmarks(
    sections: Sequence[SectionData], result: TaskResult, names: Sequence[str]
) -> list[NDArray[np.bool_]]:
    return [
        np.sum([_column(s, result, LayerKey("factor", n)) for n in names], axis=0) > LANDMARK
        for s in sections
    ]


def _step(
    sections: Sequence[SectionData], domains: Sequence[NDArray[np.integer]],
    moved: Sequence[NDArray[np.float64]], laid: Sequence[Laid], s: int,
) -> dict[str, Any]:  # fmt: skip
    step = laid[s]
    said: dict[str, Any] = {
        "id": sections[s].id, "title": sections[s].title, "degrees": step.rigid.degrees,
        "shift": step.rigid.translation.tolist(), "anchors": step.anchors, "kept": step.kept,
        "residual": None if np.isnan(step.residual) else step.residual,
        "rotation": step.rigid.rotation.tolist(),
    }  # fmt: skip
    if s == 0:
        return said
    here, there = sections[s], sections[s - 1]
    still = here.xy - here.xy.mean(axis=0) + moved[s - 1].mean(axis=0)
    a, b = _shared(here, there)
    for name, xy in (("", moved[s]), ("unmoved_", still)):
        said[f"{name}expression_score"] = expression_score(xy, a, moved[s - 1], b)
        said[f"{name}domain_score"] = type_score(xy, domains[s], moved[s - 1], domains[s - 1])
    return said


def _shared(here: SectionData, there: SectionData) -> tuple[csr_matrix, csr_matrix]:
    """Return counts of the genes that both have, the commonest of them where there are many."""
    i, j = shared_columns(here.genes, there.genes)
    a, b = csr_matrix(here.counts[:, i]), csr_matrix(there.counts[:, j])
    if a.shape[1] > SCORED_GENES:
        total = np.asarray(a.sum(axis=0) + b.sum(axis=0)).ravel()
        keep = np.sort(np.argsort(-total, kind="stable")[:SCORED_GENES])
        a, b = csr_matrix(a[:, keep]), csr_matrix(b[:, keep])
    return a, b


def _points(
    moved: Sequence[NDArray[np.float64]], domains: Sequence[NDArray[np.integer]], seed: int
) -> list[dict[str, list[int]]]:
    rng = np.random.default_rng([seed, 7])
    total = sum(len(m) for m in moved)
    out = []
    for xy, codes in zip(moved, domains, strict=True):
        count = min(len(xy), max(200, round(DRAWN * len(xy) / total)))
        rows = np.sort(rng.choice(len(xy), count, replace=False))
        whole = np.rint(xy[rows]).astype(int)
        out.append({"x": whole[:, 0].tolist(), "y": whole[:, 1].tolist(),
                    "domain": codes[rows].astype(int).tolist(), "row": rows.tolist()})  # fmt: skip
    return out
