"""Figures of SpatialGlue's default mode beside its baselines, as a table and as JSON.

python -m tests.benchmarks.bench_spatialglue simulations [SET ...] [--json OUT]     10 seeds each
python -m tests.benchmarks.bench_spatialglue real DATASETS [SET ...] [--json OUT]    5 base seeds
python -m tests.benchmarks.bench_spatialglue cost FOLDER SPOTS ...       files to file, wall, memory
python -m tests.benchmarks.bench_spatialglue epoch                       one epoch against parity

Seeds are stated in the output. Nothing was chosen on the sets of ``simulations``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import torch
from numpy.typing import NDArray

from backend.core.data import Modality, SectionData
from backend.core.job import RunContext
from backend.demo.multiomics import (
    Assay,
    Simulated,
    simulate,
    sparse_bins,
    three_modalities,
    two_modalities,
)
from backend.intake.multiomics import read_multiomics
from backend.models.spatialglue.baselines import SMOOTHED
from backend.models.spatialglue.consensus import adjusted_rand, aligned
from backend.models.spatialglue.evidence import weights_of
from backend.models.spatialglue.fit import train
from backend.models.spatialglue.graphs import feature_graph, normalised
from backend.models.spatialglue.inputs import join, prepare
from backend.models.spatialglue.measures import against_truth
from backend.models.spatialglue.tasks import IntegrateParams, Run, run
from backend.models.spatialglue.train_reference import train as train_reference
from backend.models.spatialglue.weights import domain_correlation, domain_means, evidence_of

#: Generator seeds of the fresh simulations, and network seeds.
PAIR_SEEDS, TRIPLE_SEEDS, SEEDS = (90101, 90102), (90201, 90202, 90203), 10
BASES = 5


def simulations(some: list[int]) -> list[dict[str, Any]]:
    """Return figures of five published settings with two fresh seeds each, and three triples.

    ``some`` are places in that list of 13; all where it is empty.
    """
    plans: list[tuple[str, Mapping[str, Assay], int]] = [
        (f"Sim {level}", two_modalities(level), seed)
        for level in range(1, 6)
        for seed in PAIR_SEEDS
    ]
    plans += [("Triple", three_modalities(), seed) for seed in TRIPLE_SEEDS]
    return [_simulation(*plans[i]) for i in some or range(len(plans))]


def _simulation(name: str, assays: Mapping[str, Assay], seed: int) -> dict[str, Any]:
    made = simulate(assays, seed)
    params = IntegrateParams(seeds=SEEDS, starts=1, truth="region")
    started = time.perf_counter()
    found = run([made.section], params, RunContext(seed=0))
    seconds = time.perf_counter() - started
    members = [against_truth(m, made.truth) for m in found.partition.members]
    smoothed = found.figures["baselines"][SMOOTHED]
    rank = found.weights.spearman
    row = {
        "set": name, "generator seed": seed,
        "axes": [m["axes"] for m in found.figures["modalities"]],
        "suggested": found.figures["count"],
        "ARI worst seed": min(m["ari"] for m in members),
        "NMI worst seed": min(m["nmi"] for m in members),
        "ARI consensus": found.figures["model"]["ari"],
        "ARI smoothed": smoothed["ari"],
        "NMI smoothed": smoothed["nmi"],
        "other baselines": {
            n: b["ari"] for n, b in found.figures["baselines"].items() if n != SMOOTHED
        },
        "evidence right worst seed": _right(found, made),
        "Spearman min": float(np.nanmin(rank)),
        "seconds, 10 seeds": seconds,
    }  # fmt: skip
    sys.stderr.write(json.dumps(row) + "\n")
    return row


def _right(found: Run, made: Simulated) -> float:
    """Least share, over seeds and shapes, of spots where informative outweigh all blind."""
    present = found.joined.present
    names = [m.name for m in found.joined.modalities]
    k = found.figures["count"]
    least = 1.0
    for member in found.partition.members:
        weight = weights_of(evidence_of(found.prepared.inputs.smooth, present, member, k), present)
        for shape in range(1, 5):
            sees = np.array([shape in made.sees[n] for n in names])
            own = weight[made.truth == shape]
            right = own[:, sees].min(axis=1) > own[:, ~sees].max(axis=1)
            least = min(least, float(right.mean()))
    return least


def real(datasets: Path, some: list[int]) -> list[dict[str, Any]]:
    """Return stability on public sections over base seeds, each a whole run of its own."""
    sets = list(_real_sections(datasets))
    return [_real(*sets[i]) for i in some or range(len(sets))]


def _real_sections(folder: Path) -> Iterable[tuple[str, SectionData, int | None, str]]:
    skin = read_multiomics([folder / "spatial_cite_skin" / "spatial_cite_skin.h5ad"])
    yield "skin, 283 proteins + 10 RNA", skin, 6, ""
    node = read_multiomics([folder / "lymph_node_adt" / "lymph_node_adt_s1.h5ad"])
    yield "lymph node, 31 proteins", node, 10, "region"
    yield "lymph node, panel split in two", _split(node), 10, "region"
    sims = folder / "simulated_multiomics"
    yield "triple_omics", read_multiomics([sims / "triple_omics.h5ad"]), None, "region"
    yield "mosaic s1", read_multiomics([sims / "mosaic_rep1_s1.h5ad"]), None, "region"


def _split(section: SectionData) -> SectionData:
    """Odd and even markers of one panel as two modalities."""
    (whole,) = section.modalities
    halves = [
        Modality(f"half {j + 1}", "protein", whole.values[:, j::2], whole.features[j::2],
                 whole.present)
        for j in (0, 1)
    ]  # fmt: skip
    return replace(section, modalities=tuple(halves))


def _real(name: str, section: SectionData, k: int | None, truth: str) -> dict[str, Any]:
    params = IntegrateParams(clusters=k, seeds=5, starts=3, empty="missing", truth=truth)
    runs = [run([section], params, RunContext(seed=base)) for base in range(BASES)]
    first = runs[0]
    k = first.figures["count"]
    same = [r for r in runs if r.figures["count"] == k]
    labels = [aligned(r.partition.labels, first.partition.labels, k) for r in same]
    means = np.stack([
        domain_means(r.weights.weight, own, k, r.joined.present)
        for r, own in zip(same, labels, strict=True)
    ])  # fmt: skip
    weights = [r.weights.weight[:, 0] for r in same]
    within = np.stack([domain_correlation(r.weights.by_domain) for r in runs])
    ranks = [_spearman(a, b) for a, b in combinations(weights, 2)]
    row = {
        "set": name, "domains": k, "runs with as many": len(same),
        "suggestion": first.figures["suggestion"] and {
            key: first.figures["suggestion"][key] for key in ("silhouette_choice", "knee")
        },
        "axes": [m["axes"] for m in first.figures["modalities"]],
        "ARI between single partitions": float(np.mean([r.partition.pairwise for r in runs])),
        "ARI between runs (consensus)": float(np.mean(
            [adjusted_rand(a, b) for a, b in combinations(labels, 2)])),
        "domain means, r between runs, min": _least(domain_correlation(means)),
        "domain means, r between seeds of a run, min": _least(within),
        "Spearman of spots between runs, min": _least(np.array(ranks)),
        "Spearman of spots between seeds, min": _least(
            np.concatenate([r.weights.spearman for r in runs])),
        "Spearman of spots between seeds, median": float(np.nanmedian(
            np.concatenate([r.weights.spearman for r in runs]))),
        "model": _shown([r.figures["model"] for r in runs]),
        "baselines": {n: _shown([r.figures["baselines"][n] for r in runs])
                      for n in first.figures["baselines"]},
        "mean weight": {m.name: float(first.weights.weight[:, j].mean())
                        for j, m in enumerate(first.joined.modalities)},
    }  # fmt: skip
    sys.stderr.write(json.dumps(row) + "\n")
    return row


def _shown(found: list[dict[str, Any]]) -> dict[str, list[float]]:
    keys = ("ari", "nmi", "median_moran", "jaccard_sum")
    return {key: [round(f[key], 3) for f in found] for key in keys if key in found[0]}


def _spearman(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic) if np.ptp(a) > 0 and np.ptp(b) > 0 else float("nan")


def _least(values: NDArray[np.floating]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.min()) if len(known) else None


def cost(folder: Path, sizes: list[int], seeds: int) -> list[dict[str, Any]]:
    """Return wall time and peak memory of the command, files to file, for about so many spots."""
    return [_cost(folder, spots, seeds) for spots in sizes]


def _cost(folder: Path, spots: int, seeds: int) -> dict[str, Any]:
    repeats = max(1, round((spots / 1296) ** 0.5))
    paths = [folder / f"{name}-{repeats}.h5ad" for name in sparse_bins()]
    if not all(path.exists() for path in paths):
        section = simulate(sparse_bins(), 90301, repeats).section
        for path, modality in zip(paths, section.modalities, strict=True):
            data = anndata.AnnData(modality.values, obsm={"spatial": section.xy})
            data.obs_names = [f"s{i}" for i in range(section.n_cells)]
            data.var_names = list(modality.features)
            data.obs["region"] = section.labels["region"].codes.astype(str)
            data.write_h5ad(path)
        del section, data
    out = folder / f"out-{repeats}.h5ad"
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "backend", "weights", *map(str, paths), "-o", str(out),
               "--seeds", str(seeds), "--truth", "region", "--empty", "missing",
               "--json"]  # fmt: skip
    started = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    wall = time.perf_counter() - started
    figures = json.loads(done.stdout)
    row = {
        "spots": figures["spots"], "seeds": seeds, "wall s": wall,
        "peak GB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6,
        "domains": figures["count"], "ARI": figures["model"]["ari"],
        "ARI smoothed": figures["baselines"][SMOOTHED]["ari"], "seconds": figures["seconds"],
    }  # fmt: skip
    sys.stderr.write(json.dumps(row) + "\n")
    out.unlink()
    return row


def epoch(epochs: int = 30) -> list[dict[str, Any]]:
    """Return seconds per epoch and network of both modes on the same spots, taken in turns."""
    torch.set_num_threads(1)
    made = simulate(two_modalities(1), 90401)
    prepared = prepare(join([made.section]), RunContext())
    features = list(prepared.components.values())
    spatial = [prepared.inputs.spatial] * 2
    feature = [normalised(feature_graph(f, correlation=True)) for f in features]
    times: dict[str, list[float]] = {"parity": [], "default, 1 seed": [], "default, 10 seeds": []}
    for _ in range(5):
        started = time.perf_counter()
        train_reference(features, spatial, feature, [1, 5, 1, 10], epochs, RunContext())
        times["parity"].append((time.perf_counter() - started) / epochs)
        for name, seeds in (("default, 1 seed", 1), ("default, 10 seeds", 10)):
            started = time.perf_counter()
            train(prepared.inputs, list(range(seeds)), RunContext(), epochs)
            times[name].append((time.perf_counter() - started) / epochs / seeds)
    return [{"mode": n, "ms per epoch and network": 1e3 * float(np.median(t)),
             "times faster than parity": float(np.median(times["parity"]) / np.median(t))}
            for n, t in times.items()]  # fmt: skip


def _table(rows: list[dict[str, Any]]) -> str:
    """Rows with plain values as a table."""
    heads = [k for k, v in rows[0].items() if not isinstance(v, dict)]
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    for row in rows:
        shown = [f"{row[h]:.4g}" if isinstance(row[h], float) else str(row[h]) for h in heads]
        lines.append(" | ".join(shown))
    return "\n".join(lines)


def main() -> None:
    """Run one part and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("simulations", "real", "cost", "epoch"))
    parser.add_argument("more", nargs="*")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.part == "simulations":
        rows = simulations([int(n) for n in args.more])
    elif args.part == "real":
        rows = real(Path(args.more[0]), [int(n) for n in args.more[1:]])
    elif args.part == "cost":
        rows = cost(Path(args.more[0]), [int(n) for n in args.more[1:]], args.seeds)
    else:
        rows = epoch()
    sys.stdout.write(_table(rows) + "\n")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
