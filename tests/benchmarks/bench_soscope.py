"""Figures of subspots beside plain methods, on real sections that are merged and recovered.

python -m tests.benchmarks.bench_soscope merge DATASETS [SET ...] [--json OUT] [--quick]
python -m tests.benchmarks.bench_soscope noise DATASETS [SET ...] [--json OUT]
python -m tests.benchmarks.bench_soscope gate DATASETS [SET ...] [--native] [--json OUT]
python -m tests.benchmarks.bench_soscope pair DATASETS
python -m tests.benchmarks.bench_soscope cost SPOTS ... [--image] [--genes N]

``merge``: blocks of spots are merged, recovered, and compared with what was measured, over all
tilings; medians over the 60 genes with the largest Moran's I. ``noise``: counts are split in two
halves at random; the model sees one, the other is the truth. ``gate``: whether the image is used as
it is, turned, mirrored, moved and shuffled (``--native``: spots cut, not merged). ``pair``: Visium
spots against Xenium cells of the next section. ``cost``: seconds and memory of a simulated section.
Seeds are 0.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.job import RunContext
from backend.models.soscope.baselines import all_methods
from backend.models.soscope.compare import method_table, spatial_genes, summarised
from backend.models.soscope.enhance import Enhanced, enhance_layout
from backend.models.soscope.layouts import subdivided
from backend.models.soscope.measures import correlations
from tests.benchmarks.soscope_sets import SETS, Merged, looked_at, merge, native


def merge_and_recover(root: Path, names: list[str], origins: int, quick: bool) -> Iterator[Any]:
    """Yield one entry per set: what every method recovers, and what was expected."""
    for name in names:
        make, factor = SETS[name]
        sections = make(root)
        tables, runs = [], []
        for origin in range(min(origins, factor**2)):
            block = merge(sections, origin, factor)
            started = time.perf_counter()
            found = _enhanced(block)
            seconds = time.perf_counter() - started
            truth = np.asarray(block.truth.todense())
            genes = spatial_genes(block.layout, truth)
            model = {"model split": found.split, "model rate": found.rate}
            made = _methods(block, model, quick)
            tables.append(method_table(block.layout, truth, made, genes))
            runs.append(_run(block, truth, found, genes, seconds))
        entry = {"set": name, "methods": summarised(tables), "runs": runs}
        _say(_line(entry))
        yield entry


def independent_noise(root: Path, names: list[str]) -> Iterator[Any]:
    """Yield one entry per set and tiling: methods that saw half of every count, and the other."""
    for name in names:
        make, factor = SETS[name]
        sections = make(root)
        tables, covered = [], []
        for origin in range(min(factor**2, 4)):
            seen, other = halves(merge(sections, origin, factor))
            found = _enhanced(seen)
            genes = spatial_genes(seen.layout, other)
            own = {"model split": found.split, "model rate": found.rate}
            made = _methods(seen, own, quick=True)
            tables.append(method_table(seen.layout, other, made, genes))
            covered.append(_covered(other, found, genes))
        wins = {
            name: [float((t["model rate"]["r"] > t[name]["r"]).mean()) for t in tables]
            for name in ("bilinear", "bilinear, rescaled", "copy")
        }
        entry = {"set": name, "methods": summarised(tables), "rate_wins": wins,
                 "covered_90": float(np.mean([c["covered_90"] for c in covered]))}  # fmt: skip
        shown = "  ".join(
            f"{m['name']} {m['r']:.3f} ({m['deviance']:+.1%})" for m in entry["methods"]
        )
        above = ", ".join(f"{n} {np.mean(w):.2f} (least {min(w):.2f})" for n, w in wins.items())
        _say(f"{name}: {shown}; rate above {above}; 90% covers {entry['covered_90']:.3f}")
        yield entry


def halves(block: Merged) -> tuple[Merged, NDArray[np.float64]]:
    """Return a section with a random half of every count, and the other halves."""
    half = block.truth.copy()
    counts = np.rint(half.data).astype(np.int64)
    half.data = np.random.default_rng(0).binomial(counts, 0.5).astype(np.float64)
    half.eliminate_zeros()
    other = np.asarray((block.truth - half).todense())
    return Merged(block.layout, half, block.features), other


def gates(root: Path, names: list[str], is_native: bool) -> Iterator[Any]:
    """Yield what the gate says of every image as it is and in wrong places, over all tilings."""
    for name in names:
        make, factor = SETS[name]
        sections = make(root)
        if sections[0].features is None or (is_native and len(sections) > 1):
            continue
        blocks = (
            [native(sections[0])]
            if is_native
            else [merge(sections, origin, factor) for origin in range(factor**2)]
        )
        for origin, block in enumerate(blocks):
            for way in ("as it is", "turned", "mirrored", "moved", "shuffled"):
                seen = block.features if way == "as it is" else looked_at(block, way)
                gate = enhance_layout(
                    block.layout, block.totals, RunContext(), features=seen, check=False
                ).gate
                entry = {
                    "set": name, "tiling": origin, "image": way, "evidence": round(gate.image, 3),
                    "fit": round(gate.fit, 2), "chance": gate.chance, "used": gate.is_open,
                    "best control": round(max(c.fit for c in gate.controls), 2),
                    "better": gate.best.name if gate.best else "",
                }  # fmt: skip
                _say(json.dumps(entry))
                yield entry


def pair(root: Path) -> Iterator[Any]:
    """Yield how subspots of Visium spots agree with Xenium cells of the next section."""
    import anndata

    folder = root / "xenium_visium_pair"
    visium, xenium = (anndata.read_h5ad(folder / f"{n}.h5ad") for n in ("visium", "xenium_left"))
    shared = [g for g in xenium.var_names if g in set(visium.var_names)]
    cells = np.asarray(xenium.obsm["spatial"], np.float64)
    for factor in (7, 6):
        layout = subdivided(np.asarray(visium.obsm["spatial"], np.float64), factor)
        counts = csr_matrix(visium[:, shared].X, dtype=np.float64)
        found = enhance_layout(layout, counts, RunContext())
        own = {"model split": found.split, "model rate": found.rate}
        made = all_methods(layout, counts, None, 0, own)
        near = csr_matrix(xenium[:, shared].X)
        truth, rows = _cells_near(layout.xy, cells, near, layout.steps[0])
        genes = np.argsort(-truth.sum(axis=0), kind="stable")[:100]
        entry = {
            "set": f"Visium to Xenium, {factor} subspots", "subspots": len(rows),
            "r": {n: float(np.median(correlations(v[rows][:, genes], truth[:, genes])))
                  for n, v in made.items()},
        }  # fmt: skip
        _say(json.dumps(entry))
        yield entry


def cost(sizes: list[int], image: bool, genes: int) -> Iterator[Any]:
    """Yield seconds and peak memory of simulated sections, 4 subspots per spot."""
    for size in sizes:
        side = int(np.ceil(np.sqrt(size)))
        rng = np.random.default_rng(0)
        xy = np.column_stack(np.divmod(np.arange(size), side)).astype(float) * 100
        waves = np.cos(xy / 1000 @ rng.normal(0, 2, (2, 8)) + rng.uniform(0, 6, 8))
        log = waves @ rng.normal(0, 0.3, (8, genes)) + rng.normal(0, 1, genes)
        counts = csr_matrix(rng.poisson(np.exp(log)).astype(np.float64))
        layout = subdivided(xy, 2)
        features = None
        if image:
            seen = np.cos(layout.xy / 1000 @ rng.normal(0, 2, (2, 69)))
            features = (seen + rng.normal(0, 0.3, seen.shape)).astype(np.float32)
        started, busy = time.perf_counter(), time.process_time()
        found = enhance_layout(layout, counts, RunContext(), features=features)
        entry = {
            "cpu_seconds": time.process_time() - busy,
            "spots": size, "genes": genes, "image": image, "tiles": found.tiles,
            "seconds": time.perf_counter() - started, "steps": found.seconds,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }  # fmt: skip
        _say(json.dumps(entry))
        yield entry


def _enhanced(block: Merged) -> Enhanced:
    return enhance_layout(block.layout, block.totals, RunContext(), features=block.features)


def _methods(block: Merged, model: dict[str, Any], quick: bool) -> dict[str, Any]:
    if quick:
        from backend.models.soscope.baselines import plain

        return {**model, **plain(block.layout, block.totals)}
    return all_methods(block.layout, block.totals, block.features, 0, model)


def _run(
    block: Merged,
    truth: NDArray[np.float64],
    found: Enhanced,
    genes: NDArray[np.int64],
    seconds: float,
) -> dict[str, Any]:
    """Return what one run says of itself beside the truth, and how well its sd is calibrated."""
    whole = np.asarray(block.totals.todense())
    sums = block.layout.sums() @ found.split.astype(np.float64)
    # Relative to the count of the spot; counts of zero are compared as they are.
    apart = np.abs(sums - whole) / np.maximum(whole, 1)
    return {
        "spots": block.layout.n_spots,
        "subspots": block.layout.n_subspots,
        "method": found.method,
        "gate": [found.gate.image, found.gate.chance],
        "expected": found.merge.change if found.merge else None,
        "split_error": float(apart.max()),
        **_covered(truth, found, genes),
        "kappa": float(np.median(found.kappa)),
        "seconds": seconds,
    }


def _covered(
    truth: NDArray[np.float64], found: Enhanced, genes: NDArray[np.int64]
) -> dict[str, float]:
    """Return how much of the truth lies within intervals of ``rate`` and counting noise."""
    root_sd = found.sd / (2 * np.sqrt(np.maximum(found.rate, 1e-6)))
    error = np.sqrt(truth + 0.375) - np.sqrt(found.rate + 0.375)
    score = (error / np.sqrt(root_sd**2 + 0.25))[:, genes]
    limits = {"covered_50": 0.674, "covered_90": 1.645, "covered_95": 1.96}
    inside = {name: float((np.abs(score) < limit).mean()) for name, limit in limits.items()}
    return {"z_sd": float(score.std()), **inside}


def _cells_near(
    xy: NDArray[np.float64], cells: NDArray[np.float64], counts: csr_matrix, side: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return counts of the cells nearest to each subspot, and the subspots that have some."""
    from scipy.spatial import cKDTree

    distance, nearest = cKDTree(xy).query(cells)
    kept = np.flatnonzero(distance < side)
    add = csr_matrix((np.ones(len(kept)), (nearest[kept], kept)), shape=(len(xy), len(cells)))
    truth = csr_matrix(add @ counts)
    rows = np.flatnonzero(np.diff(add.indptr))
    return np.asarray(truth[rows].todense(), np.float64), rows


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _line(entry: dict[str, Any]) -> str:
    rows = {m["name"]: m for m in entry["methods"]}
    honest, split, rate = (rows[n] for n in ("bilinear, rescaled", "model split", "model rate"))
    run = entry["runs"][0]
    others = "; ".join(
        f"{n} {m['gain_r']:+.3f}" for n, m in rows.items() if n not in ("model split", "model rate")
    )
    covered = np.mean([r["covered_90"] for r in entry["runs"]])
    return (
        f"{entry['set']} ({run['subspots']}/{run['spots']}): bilS {honest['r']:.3f} w "
        f"{honest['within']:.3f} | split {split['gain_r']:+.4f} (min {split['worst_gain_r']:+.4f}) "
        f"w {split['within']:.3f} win {split['wins']:.2f} dev {split['deviance']:+.3f} | rate "
        f"{rate['gain_r']:+.4f} | {others} | 90% covers {covered:.3f} | gates "
        f"{[tuple(np.round(r['gate'], 2).tolist()) for r in entry['runs']][:4]} "
        f"{[r['method'] for r in entry['runs']]} {run['seconds']:.1f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("merge", "noise", "gate", "pair", "cost"))
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--origins", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="plain baselines only")
    parser.add_argument("--native", action="store_true", help="gate: spots as they are")
    parser.add_argument("--image", action="store_true")
    parser.add_argument("--genes", type=int, default=500)
    args = parser.parse_args()
    if args.what == "cost":
        found = list(cost([int(v) for v in args.rest], args.image, args.genes))
    else:
        root = Path(args.rest[0])
        names = args.rest[1:] or list(SETS)
        if args.what == "pair":
            found = list(pair(root))
        elif args.what == "noise":
            found = list(independent_noise(root, names))
        elif args.what == "gate":
            found = list(gates(root, names, args.native))
        else:
            found = list(merge_and_recover(root, names, args.origins, args.quick))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    sys.exit(0)


if __name__ == "__main__":
    main()
