"""Figures of FuseMap's default mode, as JSON: simulated sections, and a held-out real one.

python -m tests.benchmarks.bench_fusemap simulated
python -m tests.benchmarks.bench_fusemap held-out ATLAS.zarr CHECKPOINT SECTION REFERENCE

CHECKPOINT must have been trained with ``leave_out=(SECTION,)``; REFERENCE is the section whose
labelled cells the baselines may use.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, f1_score

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.common.baselines import harmony_space, knn_labels, shared_columns
from backend.models.common.checkpoint import load_checkpoint
from backend.models.common.factors import FactorFit
from backend.models.common.prep import gene_index, normalised, prepare, union_of_genes
from backend.models.fusemap.model import Model, from_checkpoint
from backend.models.fusemap.references import make_references
from backend.models.fusemap.space import fit_space, map_cells
from backend.models.fusemap.tasks import AnnotateParams, annotate, impute
from backend.store.atlas import Atlas
from tests.models.simulated import simulate

NEIGHBOURS = (5, 15, 30)


def simulated(seeds: tuple[int, ...] = (20240527, 1, 2), k: int = 10) -> list[dict[str, Any]]:
    """Return imputation r, type ARI and region ARI of regenerated simulations."""
    return [_one_simulation(seed, k) for seed in seeds]


def _one_simulation(seed: int, k: int) -> dict[str, Any]:
    made = simulate(seed)
    started = time.perf_counter()
    genes = union_of_genes(made.sections)
    prepared = [prepare(s, gene_index(genes)) for s in made.sections]
    names = [(s.id, s.dataset) for s in made.sections]
    references = make_references(names, prepared, [s.xy for s in made.sections], len(genes))
    space = fit_space(references, len(genes), FactorFit(k), RunContext())
    mapped = [map_cells(space, r.prepared, r.graph, space.noise[r.id]) for r in references]
    seconds = time.perf_counter() - started
    number = np.array([int(g.removeprefix("Gene")) for g in genes])
    imputation = []
    for m, panel, full in zip(mapped, made.panels, made.full, strict=True):
        truth = normalised(csr_matrix(full.astype(np.float32)), True).toarray()
        hidden = np.flatnonzero(~np.isin(number, panel))
        imputation.append(_mean_r(m.z @ space.embedding[hidden].T, truth[:, number[hidden]]))
    z, niche = (
        np.concatenate(part) for part in zip(*[(m.z, m.niche) for m in mapped], strict=True)
    )
    return {
        "seed": seed,
        "k": k,
        "imputation_r": imputation,
        "type_ari": _ari(made.types, z, 8),
        "region_ari": _ari(made.regions, niche, 5),
        "seconds": seconds,
    }


def _mean_r(guess: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Mean Pearson r over columns, 0 where a column is constant."""
    a, b = guess - guess.mean(axis=0), truth - truth.mean(axis=0)
    norm = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return float(np.mean((a * b).sum(axis=0) / np.where(norm > 0, norm, np.inf)))


def _ari(truth: list[NDArray[np.int64]], z: NDArray[np.float64], k: int) -> float:
    clusters = KMeans(k, n_init=10, random_state=0).fit_predict(z)
    return float(adjusted_rand_score(np.concatenate(truth), clusters))


def held_out(atlas_path: str, checkpoint: str, section: str, reference: str) -> dict[str, Any]:
    """Return label transfer onto a section that the checkpoint never saw, beside two baselines."""
    atlas = Atlas.open(atlas_path)
    model = from_checkpoint(load_checkpoint(Path(checkpoint)))
    assert model.record(section) is None, "the checkpoint was trained on the section"
    query, known = atlas.load(section), atlas.load(reference)
    started = time.perf_counter()
    result = annotate([query], AnnotateParams(), model, RunContext())
    seconds = time.perf_counter() - started
    columns = {str(c.layer): c.values for c in result.columns}
    matrices = {m.name: m for m in result.matrices}
    labels = {}
    for label, figures in result.figures[section]["labels"].items():
        if label not in query.labels or f"label:{label}" not in columns:
            continue
        truth = query.labels[label].codes.astype(np.int64)
        names = [c.name for c in query.labels[label].categories]
        table = matrices[f"probability:{label}"]
        best = np.array([names.index(c) for c in table.columns])[table.values.argmax(axis=1)]
        labels[label] = {
            "fusemap": _scores(truth, best),
            **_unassigned(truth, columns[f"label:{label}"]),
            "taxonomy": figures["taxonomy"],
            "calibrated_on": figures["calibrated_on"],
            **_baselines(known, query, label, truth),
        }
    return {
        "section": section,
        "seconds": seconds,
        "nearest": result.figures[section]["nearest"][:3],
        "labels": labels,
        "imputation": _hidden_gene(model, query),
    }


def _scores(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy and macro-F1 over the classes of the labelled cells."""
    have = truth >= 0
    classes = np.unique(truth[have])
    return {
        "accuracy": float((guess == truth)[have].mean()),
        "macro_f1": float(f1_score(truth[have], guess[have], average="macro", labels=classes)),
    }


def _unassigned(truth: NDArray[np.int64], codes: NDArray[Any]) -> dict[str, float]:
    have = truth >= 0
    kept = have & (codes >= 0)
    return {
        "unassigned": float((codes[have] < 0).mean()),
        "accuracy_of_assigned": float((codes == truth)[kept].mean()) if kept.any() else 0.0,
    }


def _baselines(
    known: SectionData, query: SectionData, label: str, truth: NDArray[np.int64]
) -> dict[str, Any]:
    """kNN on shared log-normalised genes, and after PCA and Harmony, for several k."""
    if label not in known.labels:
        return {}
    a, b = shared_columns(known.genes, query.genes)
    rows = np.flatnonzero(known.labels[label].codes >= 0)
    codes = known.labels[label].codes[rows].astype(np.int64)
    x = normalised(known.counts, known.is_counts)[rows][:, a]
    y = normalised(query.counts, query.is_counts)[:, b]
    started = time.perf_counter()
    spaces = {"knn_genes": (x, y), "knn_harmony": harmony_space(x, y)}
    out: dict[str, Any] = {
        f"{name}_{k}": _scores(truth, knn_labels(u, codes, v, k))
        for name, (u, v) in spaces.items()
        for k in NEIGHBOURS
    }
    return {**out, "baseline_seconds": time.perf_counter() - started}


def _hidden_gene(model: Model, query: SectionData) -> dict[str, Any]:
    """Leave a fifth of the query's genes out of it, impute them, and compare: mean and best r."""
    index = gene_index(model.genes)
    rng = np.random.default_rng(0)
    known = np.array([j for j, g in enumerate(query.genes) if g.upper() in index])
    hidden = np.sort(rng.permutation(known)[: len(known) // 5])
    kept = np.setdiff1d(np.arange(len(query.genes)), hidden)
    part = replace(
        query, counts=csr_matrix(query.counts[:, kept]), genes=tuple(query.genes[j] for j in kept)
    )
    names = [query.genes[j] for j in hidden]
    guess = impute(part, names, model, RunContext()).matrices[0].values
    truth = normalised(query.counts, query.is_counts)[:, hidden].toarray()
    r = np.array([_mean_r(g[:, None], t[:, None]) for g, t in zip(guess.T, truth.T, strict=True)])
    best = np.argsort(-r)[:5]
    trust = {n: model.gene_trust[index[n.upper()]].tolist() for n in names}
    return {
        "genes": len(names),
        "mean_r": float(r.mean()),
        "best": {names[i]: {"r": float(r[i]), "trust": trust[names[i]]} for i in best},
    }


def main(arguments: list[str]) -> None:
    """Write the figures that were asked for."""
    torch.set_num_threads(1)
    out = simulated() if arguments[0] == "simulated" else held_out(*arguments[1:])
    sys.stdout.write(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
