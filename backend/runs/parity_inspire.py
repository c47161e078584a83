"""INSPIRE's published procedure beside the figures of the reference, on three simulated sections.

The reference figures are those of one run of the authors' program (seed 1234, CPU) on the 40 genes
that all three sections measure: the linear encoder for 2,000 steps of 512 cells per section, the
attention encoder for 400 steps. The golden values, the graph, the baseline and the losses of the
first step are the sharp tests; metrics of other seeds lie apart by several hundredths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.core.job import RunContext
from backend.core.parity import ParityReport, ParityRow, compared, metric, report
from backend.models.common.agreement import (
    agreement,
    cluster_agreement,
    cross_section_accuracy,
    effective_sections,
    mixing,
)
from backend.models.inspire.parity.golden import golden_rows
from backend.models.inspire.parity.outputs import Embedded, Fitted, copied
from backend.models.inspire.parity.prepare import Published, published
from backend.models.inspire.parity.settings import Preparing, Settings
from backend.models.inspire.parity.train import fit_prepared
from backend.runs.parity_fusemap import imputation_r, panel_values, shared_components
from backend.runs.parity_inspire_reference import BASELINE, LOSSES, METRICS
from backend.runs.threesections import N_GENES, Simulated, hidden_genes, read_threesections

#: How the reference prepared the sections and what it trained.
PREPARING = Preparing(variable=1_000, least_genes=2, least_cells=2, shared_first=True, radius=35.0)
TRAININGS: dict[str, Settings] = {
    "linear": Settings(factors=8, steps=2_000, batch=512, published_divisor=True),
    "attention": Settings(encoder="attention", factors=8, steps=400),
}
#: Neighbours whose values are averaged, by variant, as the reference has figures for.
NEAREST = {"linear": (1, 15, 50), "attention": (1, 50)}

Floats = NDArray[np.floating]


def check_inspire(path: Path, ctx: RunContext, steps: int | None = None) -> ParityReport:
    """Return golden values, then both encoders on the three sections, beside the reference.

    Parameters
    ----------
    path : Path
        ``threesections_truth.npz``, with threesections_s0.h5ad to s2 beside it.
    ctx : RunContext
    steps : int or None
        At most, of each training; those of the reference where None.

    Raises
    ------
    BadFile, TooLarge, Diverged, OutOfMemory
    """
    sections = read_threesections(path)
    prepared, genes = published([s.data for s in sections], PREPARING)
    rows = [*golden_rows(), *_prepared_rows(prepared, genes), *_baseline_rows(sections)]
    for i, (name, settings) in enumerate(TRAININGS.items()):
        short = settings if steps is None else replace(settings, steps=min(steps, settings.steps))
        fitted = fit_prepared(prepared, genes, short, ctx.part(0.5 * i, 0.5 * (i + 1)))
        rows += _loss_rows(name, fitted.history)
        rows += _metric_rows(name, scores(sections, fitted, NEAREST[name]), METRICS[name])
    return report("inspire", path.name, rows, *_notes(ctx.seed, steps))


def _notes(seed: int, steps: int | None) -> Iterator[str]:
    yield f"Trained with seed {seed}; the reference is one run with another order of draws."
    yield "400 steps of the attention encoder are what the reference ran; 10,000 are usual."
    if steps is not None:
        yield f"--epochs {steps}: at most so many steps; expect misses."


def _prepared_rows(prepared: Sequence[Published], genes: tuple[str, ...]) -> Iterator[ParityRow]:
    yield metric("genes used", len(genes), 40, 0)
    yield metric("cells used", sum(p.n_cells for p in prepared), 4_499, 0)
    edges = sum(p.graph.nnz - p.n_cells for p in prepared)
    yield metric("neighbours per cell", edges / sum(p.n_cells for p in prepared), 6.65, 0.02)


def _loss_rows(name: str, history: Sequence[Mapping[str, float]]) -> Iterator[ParityRow]:
    """Losses of the steps that the reference tells of."""
    found = {int(h["step"]): h for h in history}
    for step, terms in LOSSES[name].items():
        for term, (value, tolerance) in terms.items():
            if step in found:
                title = f"{name}: {term} at step {step:,}"
                yield compared(title, found[step][term], value, tolerance)


def _metric_rows(
    name: str, found: Mapping[str, float], known: Mapping[str, tuple[float, float]]
) -> Iterator[ParityRow]:
    for key, (reference, tolerance) in known.items():
        yield metric(f"{name}: {key}", found[key], reference, tolerance)


def _baseline_rows(sections: Sequence[Simulated]) -> Iterator[ParityRow]:
    """20 components of the same genes."""
    embedded = [
        Embedded(np.arange(len(z)), z.astype(np.float32), z[:, :0].astype(np.float32))
        for z in shared_components(sections)
    ]
    found = {**_places(sections, embedded), **_nearest(sections, embedded, 50)}
    yield from _metric_rows("PCA", found, BASELINE)


def scores(
    sections: Sequence[Simulated], fitted: Fitted, nearest: Sequence[int]
) -> dict[str, float]:
    """Return the figures of a training, by the names of ``METRICS``."""
    found = _places(sections, fitted.sections)
    beta = np.concatenate([s.proportions for s in fitted.sections])
    codes = {name: _kept(sections, fitted.sections, name) for name in ("types", "regions")}
    strongest = beta.argmax(axis=1)
    by_means, by_most = (
        cluster_agreement(beta, codes["types"]),
        agreement(strongest, codes["types"]),
    )
    in_regions = agreement(strongest, codes["regions"])
    for name, pair in (
        ("type, k-means on proportions", by_means),
        ("type, strongest factor", by_most),
        ("region, strongest factor", in_regions),
    ):
        found[f"{name}: ARI"], found[f"{name}: NMI"] = pair
    for k in nearest:
        found |= _nearest(sections, fitted.sections, k)
    return found


def _kept(
    sections: Sequence[Simulated], embedded: Sequence[Embedded], name: str
) -> NDArray[np.int64]:
    """Codes of the cells that the filters keep."""
    pairs = zip(sections, embedded, strict=True)
    return np.concatenate([getattr(s, name)[e.cells] for s, e in pairs])


def _places(sections: Sequence[Simulated], embedded: Sequence[Embedded]) -> dict[str, float]:
    """Agreement of z with types and regions, and how sections mix."""
    z = np.concatenate([e.z for e in embedded])
    origin = np.repeat(np.arange(len(embedded)), [len(e.cells) for e in embedded])
    found: dict[str, float] = {}
    for title, name in (("type", "types"), ("region", "regions")):
        codes = _kept(sections, embedded, name)
        pair = cluster_agreement(z, codes)
        found[f"{title}, k-means on z: ARI"], found[f"{title}, k-means on z: NMI"] = pair
        found[f"{title}, 15 cells of other sections"] = cross_section_accuracy(z, codes, origin)
    found["mixing, entropy"] = mixing(z, origin)
    found["mixing, iLISI"] = float(np.median(effective_sections(z, origin)))
    return found


def _nearest(
    sections: Sequence[Simulated], embedded: Sequence[Embedded], k: int
) -> dict[str, float]:
    """Mean r of unmeasured genes, from the nearest cells of the sections that measure them."""
    guesses = []
    for v, target in enumerate(sections):
        guess = np.zeros((len(target.types), N_GENES))
        for w, other in enumerate(sections):
            if w != v:
                values = panel_values(other, other.panel)[embedded[w].cells]
                guess[np.ix_(embedded[v].cells, other.panel)] = copied(
                    embedded[w], values, embedded[v], k
                )
        guesses.append(guess[:, hidden_genes(target)])
    found = imputation_r(sections, guesses)
    return {f"{k} nearest, {name}": value for name, value in found.items()}
