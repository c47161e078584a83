"""What was chosen for subspots and on what, and how far any choice could reach.

python -m tests.benchmarks.bench_soscope_choices blend DATASETS [SET ...]
python -m tests.benchmarks.bench_soscope_choices ceiling DATASETS [SET ...]

``blend``: share of genes of ``rate`` that are closer than both plain ways, over the weight of the
model within a spot; the model sees a random half of every count, the other half is the truth.
``ceiling``: r within spots if four fifths of the blocks were measured at their subspots: the image
and the places cannot say more to this model. Seeds are 0; means over tilings.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from backend.core.job import RunContext
from backend.models.soscope import outputs
from backend.models.soscope.compare import spatial_genes
from backend.models.soscope.enhance import fit_layout, split_of
from backend.models.soscope.interpolate import interpolated, rescaled
from backend.models.soscope.layouts import Layout
from backend.models.soscope.measures import correlations, within_correlations
from backend.models.soscope.settings import IMAGE_BLEND
from tests.benchmarks.bench_soscope import halves
from tests.benchmarks.soscope_sets import SETS, Merged, merge

BLENDS = (0.0, 0.25, 0.5, 0.75, 1.0)
FOLDS = 5
Values = NDArray[np.float64]


def blends(block: Merged) -> Values:
    """Return r (median), and shares of genes above bilinear-S, bilinear, and both, (blends, 4)."""
    seen, other = halves(block)
    layout = seen.layout
    genes = spatial_genes(layout, other)
    every = np.zeros(seen.totals.shape[1], np.int64)
    factors, found = fit_layout(
        layout, seen.totals, every, seen.features, RunContext(), with_variance=False
    )
    totals = csr_matrix(seen.totals[:, genes])
    truth, whole = other[:, genes], np.asarray(totals.todense(), np.float64)
    linear, model = interpolated(layout, totals), factors.rates(found.rate, genes)
    honest = correlations(rescaled(layout, linear, totals), truth)
    plain = correlations(linear, truth)
    rows = []
    for blend in BLENDS:
        r = correlations(outputs.rate(layout, model, linear, whole, blend)[0], truth)
        wins = [(r > honest).mean(), (r > plain).mean(), ((r > honest) & (r > plain)).mean()]
        rows.append([np.median(r), *wins])
    return np.array(rows)


def ceiling(block: Merged) -> Values:
    """Return r within spots of bilinear-S, of the model, and with most blocks measured, (3,)."""
    layout, truth = block.layout, np.asarray(block.truth.todense(), np.float64)
    genes = spatial_genes(layout, truth)
    totals = block.totals
    whole = np.asarray(totals[:, genes].todense(), np.float64)
    linear = interpolated(layout, csr_matrix(totals[:, genes]))
    every = np.zeros(totals.shape[1], np.int64)
    factors, found = fit_layout(
        layout, totals, every, block.features, RunContext(), with_variance=False
    )
    fold = np.random.default_rng(1).permutation(layout.n_spots) % FOLDS
    known = np.zeros((layout.n_subspots, len(genes)))
    for k in range(FOLDS):
        hidden = (fold == k)[layout.parent]
        known[hidden] = _mostly_measured(block, fold == k, genes)[hidden]
    made = (
        rescaled(layout, linear, csr_matrix(whole)),
        split_of(layout, totals, factors, found, genes),
        outputs.split(layout, known, linear, whole, IMAGE_BLEND),
    )
    return np.array(
        [np.median(within_correlations(v, truth[:, genes], layout.parent)) for v in made]
    )


def _mostly_measured(block: Merged, hidden: NDArray[np.bool_], genes: NDArray[np.int64]) -> Values:
    """Return rates where only some spots are merged and all other subspots are measured."""
    layout = block.layout
    single = layout.n_spots + np.arange(layout.n_subspots)
    _, parent = np.unique(
        np.where(hidden[layout.parent], layout.parent, single), return_inverse=True
    )
    order = np.argsort(parent, kind="stable")
    parent = parent[order].astype(np.int64)
    counts = np.bincount(parent)
    spots = np.stack([np.bincount(parent, axis) / counts for axis in layout.xy[order].T], axis=1)
    section = np.zeros(len(counts), np.int64)
    section[parent] = layout.subspot_section[order]
    mixed = Layout(layout.xy[order], parent, spots, section, layout.bases, layout.shapes)
    assert block.features is not None
    totals = csr_matrix(mixed.sums() @ block.truth[order])
    factors, found = fit_layout(
        mixed, totals, np.zeros(totals.shape[1], np.int64), block.features[order], RunContext(),
        use_image=True, with_variance=False,
    )  # fmt: skip
    rates = np.empty((layout.n_subspots, len(genes)))
    rates[order] = factors.rates(found.rate, genes)
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("blend", "ceiling"))
    parser.add_argument("root", type=Path)
    parser.add_argument("sets", nargs="*")
    args = parser.parse_args()
    for name in args.sets or [n for n in SETS if "+" not in n]:
        make, factor = SETS[name]
        sections = make(args.root)
        if args.what == "ceiling" and sections[0].features is None:
            continue
        measure = ceiling if args.what == "ceiling" else blends
        with threadpool_limits(1, user_api="blas"):
            found = [measure(merge(sections, o, factor)) for o in range(min(factor**2, 4))]
        sys.stdout.write(f"{name}: {np.mean(found, axis=0).round(3).tolist()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
