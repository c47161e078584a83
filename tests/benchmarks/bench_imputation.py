"""Imputation of hidden genes beside its baselines, as a table and as JSON.

python -m tests.benchmarks.bench_imputation cortex DATASETS [--draws 5] [--seed 100] [--json OUT]
    [--methods plain,fusemap,published,inspire] [--epochs 15]
python -m tests.benchmarks.bench_imputation sections PARITY [--json OUT]

``cortex``: 20 % of the genes that a data set shares with another are hidden in all its sections;
starmap_v1_1020, merfish_mop and starmap_mpfc each lose theirs in every draw. Genes are split by the
first bit of the SHA-256 of their name: whatever was developed on this test only ever scored the
genes with bit 0, draws here are of those with bit 1. Scale, numbers of factors, refinement, slopes
and confidence are chosen by the training itself on bridge genes that are not hidden. The
published procedure takes minutes, and is trained only where it is asked for.

``sections``: the three simulated sections of the method notes, with the very counts that their
unmeasured genes would have shown.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import rankdata, spearmanr
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.common.baselines import harmony_space, knn_values, principal_components
from backend.models.common.prep import Prepared, gene_index, prepare, union_of_genes
from backend.models.fusemap.bridges import correlation
from backend.models.fusemap.model import Model, from_checkpoint
from backend.models.fusemap.parity.settings import Settings
from backend.models.fusemap.tasks import embed
from backend.models.fusemap.train import TrainParams, train
from backend.runs.fixture import read_arrays
from backend.runs.threesections import (
    TRUTH,
    gene_number,
    hidden_genes,
    read_threesections,
    true_scores,
)
from tests.benchmarks.inspire_fit import fitted
from tests.benchmarks.published import train_published

DATASETS = ("starmap_v1_1020", "merfish_mop", "starmap_mpfc")
SHARE, NEIGHBOURS, COMPONENTS, PENALTY = 0.2, 50, 20, 100.0
#: Factors of INSPIRE's default mode, as on these data sets in its specification.
FACTORS = 14
Table = NDArray[np.float64]


@dataclass(frozen=True)
class Hidden:
    """Sections without their hidden genes, and what those were: places and log1p values."""

    sections: list[SectionData]
    prepared: list[Prepared]
    genes: list[NDArray[np.int64]]
    truth: list[Table]
    index: dict[str, int]

    def standard(self, s: int, genes: NDArray[np.int64] | None = None) -> Table:
        """Return standardised measured genes of a section."""
        p = self.prepared[s]
        columns = np.arange(len(p.genes)) if genes is None else np.searchsorted(p.genes, genes)
        return (np.asarray(p.x[:, columns].todense(), float) - p.mean[columns]) / p.sd[columns]


def cortex_sections(root: Path) -> list[SectionData]:
    """Read the three data sets."""
    import anndata

    out = []
    for name in DATASETS:
        data = anndata.read_h5ad(root / name / f"{name}.h5ad")
        for section in sorted(data.obs["section"].unique()):
            part = data[data.obs["section"] == section]
            out.append(
                SectionData(
                    id=str(section),
                    title=str(section),
                    xy=np.asarray(part.obsm["spatial"], np.float32),
                    counts=csr_matrix(part.X, dtype=np.float32),
                    genes=tuple(part.var_names),
                    names=np.array(part.obs_names),
                    dataset=name,
                )
            )
    return out


def hide(sections: Sequence[SectionData], seed: int, pool: int = 1) -> Hidden:
    """Hide a fifth of the shared genes of every data set, drawn from one half of the genes."""
    index = gene_index(union_of_genes(sections))
    panels: dict[str, set[str]] = {}
    for s in sections:
        panels.setdefault(s.dataset, set()).update(g.upper() for g in s.genes)
    rng = np.random.default_rng(seed)
    drawn: dict[str, set[str]] = {}
    for name in sorted(panels):
        others = set().union(*(p for n, p in panels.items() if n != name))
        # A gene that every other data set has lost already must stay here.
        left = set().union(*(p - drawn.get(n, set()) for n, p in panels.items() if n != name))
        shared = sorted(panels[name] & others)
        half = [g for g in shared if g in left and _bit(g) == pool]
        drawn[name] = set(rng.permutation(half)[: round(SHARE * len(shared))])
    out = Hidden([], [], [], [], index)
    for s in sections:
        full = prepare(s, index)
        mine = np.array(sorted(index[g] for g in drawn[s.dataset]))
        mine = mine[np.isin(mine, full.genes)]
        keep = [j for j, g in enumerate(s.genes) if g.upper() not in drawn[s.dataset]]
        part = replace(
            s, counts=csr_matrix(s.counts[:, keep]), genes=tuple(s.genes[j] for j in keep)
        )
        out.sections.append(part)
        out.prepared.append(prepare(part, index))
        out.genes.append(mine)
        columns = np.searchsorted(full.genes, mine)
        out.truth.append(np.asarray(full.x[:, columns].todense(), float))
    return out


def _bit(gene: str) -> int:
    """First bit of the SHA-256 of a gene's name."""
    return hashlib.sha256(gene.encode()).digest()[0] % 2


def pairwise(h: Hidden, predict: Callable[[Table, Table, Table, Any], Table]) -> list[Table]:
    """Sum over source sections of other data sets of what each predicts from shared genes."""
    out = []
    for t, target in enumerate(h.sections):
        total = np.zeros(h.truth[t].shape)
        for s, source in enumerate(h.sections):
            has = np.isin(h.genes[t], h.prepared[s].genes)
            shared = np.intersect1d(h.prepared[s].genes, h.prepared[t].genes)
            if source.dataset == target.dataset or not has.any() or len(shared) < 2:
                continue
            raw = tuple(
                h.prepared[i].x[:, np.searchsorted(h.prepared[i].genes, shared)] for i in (s, t)
            )
            wanted = h.standard(s, h.genes[t][has])
            total[:, has] += predict(h.standard(s, shared), h.standard(t, shared), wanted, raw)
        out.append(total)
    return out


def knn(source: Table, target: Table, wanted: Table, raw: Any) -> Table:
    """kNN-50 in 20 components of both."""
    scores = principal_components(np.concatenate([source, target]), COMPONENTS)
    return knn_values(scores[: len(source)], wanted, scores[len(source) :], NEIGHBOURS)


def ridge(source: Table, target: Table, wanted: Table, raw: Any) -> Table:
    """Ridge regression on standardised shared genes."""
    left = source.T @ source + PENALTY * np.eye(source.shape[1])
    return target @ np.linalg.solve(left, source.T @ wanted)


def harmony(source: Table, target: Table, wanted: Table, raw: Any) -> Table:
    """kNN-50 after Harmony."""
    a, b = harmony_space(*raw, COMPONENTS)
    return knn_values(np.asarray(a), wanted, np.asarray(b), NEIGHBOURS)


PLAIN: dict[str, Callable[[Table, Table, Table, Any], Table]] = {
    "kNN-50, PCA": knn,
    "kNN-50, Harmony": harmony,
    "ridge": ridge,
}


def fusemap(h: Hidden, params: TrainParams) -> tuple[list[Table], list[dict[str, Any]], Model]:
    """Train on what is left, and impute the hidden genes; per section, what the model expects."""
    model = from_checkpoint(train(h.sections, params, RunContext()))
    place = gene_index(model.genes)
    of = {i: place[g] for g, i in h.index.items() if g in place}
    values, about = [], []
    for section, genes, truth in zip(h.sections, h.genes, h.truth, strict=True):
        rows = np.array([of[g] for g in genes])
        found = embed(section, model)
        value = found.z @ model.gene_embedding[rows].T + model.gene_offset[rows]
        values.append(value.astype(float))
        about.append(_expectations(model, rows, found.certainty, value, truth))
    return values, about, model


def _published(h: Hidden, epochs: int) -> list[Table]:
    """Train as published on what is left, and impute the hidden genes."""
    made = train_published(h.sections, 0, Settings(epochs=epochs))
    name = {i: g for g, i in h.index.items()}
    return [
        made.imputed(s, [name[i] for i in genes.tolist()]).astype(float)
        for s, genes in enumerate(h.genes)
    ]


def _inspire(h: Hidden) -> list[Table]:
    """Fit Poisson factors to what is left, and impute the hidden genes by shares and programs."""
    found = fitted(h.sections, FACTORS, 5.0, 0)
    place = gene_index(found.data.genes)
    of = {i: place[g] for g, i in h.index.items() if g in place}
    out = []
    for section, p, genes in zip(h.sections, found.state.proportions(), h.genes, strict=True):
        per_cell = float(np.median(np.asarray(section.counts.sum(axis=1))))
        programs = found.state.programs[:, [of[g] for g in genes.tolist()]]
        out.append(np.log1p(per_cell * p @ programs))
    return out


def _expectations(
    model: Model, rows: NDArray[np.int64], certainty: Any, value: Table, truth: Table
) -> dict[str, Any]:
    """Predicted r per gene, slope of standardised truth on value, and coverage of intervals."""
    spread = model.gene_trust[rows, 5]
    score = (value - value.mean(axis=0)) / spread
    y = (truth - truth.mean(axis=0)) / np.maximum(truth.std(axis=0), 1e-9)
    out: dict[str, Any] = {
        "predicted": model.gene_trust[rows, 2].tolist(),
        "spread_of_score": score.std(axis=0).tolist(),
        "cross": float((score * y).sum()),
        "square": float((score**2).sum()),
    }
    if model.cells is not None:
        error = np.abs(y - score)
        out["covered"] = float((error <= model.cells.half_width(certainty)[:, None]).mean())
        out["error_by_certainty"] = float(spearmanr(-certainty, (error**2).mean(axis=1)).statistic)
    return out


def cortex(
    root: Path, draws: int, seed: int, asked: Sequence[str] = ("plain", "fusemap"), epochs: int = 15
) -> dict[str, Any]:
    """Run the test; means over genes and sections, then over draws."""
    sections = cortex_sections(root)
    rows: list[dict[str, Any]] = []
    for d in range(draws):
        h = hide(sections, seed + d)
        methods: dict[str, list[Table]] = {}
        if "plain" in asked:
            methods = {name: pairwise(h, predict) for name, predict in PLAIN.items()}
        started = time.perf_counter()
        if "published" in asked:
            methods["as published"] = _published(h, epochs)
        if "inspire" in asked:
            methods["INSPIRE, 14 factors"] = _inspire(h)
        about, model = None, None
        if "fusemap" in asked:
            methods["FuseMap"], about, model = fusemap(h, TrainParams(parts=False))
        rows.append(_draw_figures(h, methods, about, model))
        rows[-1]["seconds"] = time.perf_counter() - started
        sys.stderr.write(f"draw {seed + d}: {json.dumps(rows[-1]['r'])}\n")
    return {"seeds": list(range(seed, seed + draws)), "draws": rows, "mean": _mean_of(rows)}


def _draw_figures(
    h: Hidden,
    methods: dict[str, list[Table]],
    about: list[dict[str, Any]] | None,
    model: Model | None,
) -> dict[str, Any]:
    """Gather the figures of one draw by data set."""
    ranks = [rankdata(t, axis=0) for t in h.truth]
    out: dict[str, Any] = {"r": {}, "spearman": {}, "expected": {}}
    for name in DATASETS:
        own = [s for s, section in enumerate(h.sections) if section.dataset == name]
        for method, values in methods.items():
            pairs = [(correlation(values[s], h.truth[s]), s) for s in own]
            r = np.concatenate([x for x, _ in pairs])
            rank = np.concatenate([correlation(rankdata(values[s], axis=0), ranks[s]) for s in own])
            out["r"].setdefault(method, {})[name] = float(r.mean())
            out["spearman"].setdefault(method, {})[name] = float(rank.mean())
        if about is None or model is None:
            continue
        realised = np.concatenate([correlation(methods["FuseMap"][s], h.truth[s]) for s in own])
        predicted = np.concatenate([about[s]["predicted"] for s in own])
        spread = np.concatenate([about[s]["spread_of_score"] for s in own])
        out["expected"][name] = {
            "spearman_of_predicted_r": float(spearmanr(predicted, realised).statistic),
            "spearman_of_spread": float(spearmanr(spread, realised).statistic),
            "attainable_spearman": attainable_spearman(methods["FuseMap"], h.truth, own),
            "slope": sum(about[s]["cross"] for s in own) / sum(about[s]["square"] for s in own),
            "covered": float(np.mean([about[s].get("covered", np.nan) for s in own])),
            "error_by_certainty": float(
                np.mean([about[s].get("error_by_certainty", np.nan) for s in own])
            ),
        }
    if model is not None:
        params = model.about["params"]
        out["chosen"] = {k: params[k] for k in ("scale", "factors", "refine", "pull")}
    return out


def attainable_spearman(values: list[Table], truth: list[Table], own: Sequence[int]) -> float:
    """Return the rank correlation with realised r that a perfect prediction would reach.

    The r of two halves of the cells, drawn at random, agree so far as cells are enough to tell it;
    the root of their reliability (Spearman and Brown's formula) bounds any correlation with it.
    """
    rng, halves = np.random.default_rng(0), []
    for s in own:
        rows = rng.permutation(len(truth[s]))
        parts = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        halves.append([correlation(values[s][part], truth[s][part]) for part in parts])
    first, second = (np.concatenate(half) for half in zip(*halves, strict=True))
    agree = max(float(spearmanr(first, second).statistic), 0.0)
    return float(np.sqrt(2 * agree / (1 + agree)))


def _mean_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Average over draws, and say the ratio to the better of kNN and ridge."""
    out: dict[str, Any] = {}
    for figure in ("r", "spearman", "expected"):
        out[figure] = {
            a: {b: float(np.mean([row[figure][a][b] for row in rows])) for b in inner}
            for a, inner in rows[0][figure].items()
        }
    r = out["r"]
    if not {"FuseMap", "ridge"} <= set(r):
        return out
    out["ratio"] = {
        name: r["FuseMap"][name] / max(r["kNN-50, PCA"][name], r["ridge"][name])
        for name in DATASETS
    }
    return out


def table(mean: dict[str, Any]) -> str:
    """Format the means as a table."""
    lines = [f"{'mean r of hidden genes':24s}" + "".join(f"{n:>18s}" for n in DATASETS)]
    for method, by in mean["r"].items():
        lines.append(f"{method:24s}" + "".join(f"{by[n]:18.3f}" for n in DATASETS))
    if "ratio" not in mean:
        return "\n".join(lines)
    ratio = mean["ratio"]
    lines.append(f"{'FuseMap / best plain':24s}" + "".join(f"{ratio[n]:18.2f}" for n in DATASETS))
    for figure in (
        "spearman_of_predicted_r",
        "spearman_of_spread",
        "attainable_spearman",
        "slope",
        "covered",
        "error_by_certainty",
    ):
        by = mean["expected"]
        lines.append(f"{figure:24s}" + "".join(f"{by[n][figure]:18.2f}" for n in DATASETS))
    return "\n".join(lines)


def simulated(root: Path) -> dict[str, Any]:
    """Return imputation r, attainable r, type and region ARI and seconds on the fixture."""
    truth = read_arrays(root / "threesections_truth.npz", TRUTH)
    made = read_threesections(root / "threesections_truth.npz")
    sections = [replace(s.data, id=f"s{i}", dataset=f"d{i}", labels={}) for i, s in enumerate(made)]
    started, worked = time.perf_counter(), time.process_time()
    params = TrainParams(trust=False)
    model = from_checkpoint(train(sections, params, RunContext()))
    seconds, busy = time.perf_counter() - started, time.process_time() - worked
    found = [embed(s, model) for s in sections]
    number = np.array([gene_number(g) for g in model.genes])
    imputed, attainable = [], []
    for s, section in enumerate(made):
        hidden = np.isin(number, hidden_genes(section))
        y = _log_counts(section.full)[:, number[hidden]]
        score = found[s].z @ model.gene_embedding[hidden].T
        imputed.append((s, correlation(score.astype(float), y).mean()))
        effect = true_scores(truth, section)[:, number[hidden]]
        attainable.append((s, correlation(np.exp(effect / 2), y).mean()))
    types = np.concatenate([s.types for s in made])
    regions = np.concatenate([s.regions for s in made])
    params_used = model.about["params"]
    return {
        "imputation_r": _by_section(imputed),
        "attainable_r": _by_section(attainable),
        "type_ari": _ari(types, np.concatenate([f.z for f in found]), 8),
        "region_ari": _ari(regions, np.concatenate([f.z_niche for f in found]), 5),
        "seconds": seconds,
        "cpu_seconds": busy,
        "niche": model.about["metrics"]["niche"],
        "chosen": {k: params_used[k] for k in ("scale", "factors", "refine", "pull")},
    }


def _log_counts(counts: NDArray[np.int64]) -> Table:
    """Log1p of counts per median depth."""
    total = counts.sum(axis=1, keepdims=True)
    return np.log1p(counts * np.median(total) / np.maximum(total, 1))


def _by_section(pairs: list[tuple[int, float]]) -> list[float]:
    return [float(np.mean([v for t, v in pairs if t == s])) for s in range(3)]


def _ari(truth: Any, z: Any, k: int) -> float:
    clusters = KMeans(k, n_init=10, random_state=0).fit_predict(z)
    return float(adjusted_rand_score(truth, clusters))


def main(arguments: list[str]) -> None:
    """Run one test; the table goes to standard output, JSON where asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("test", choices=("cortex", "sections"))
    parser.add_argument("root", type=Path)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--methods", type=lambda t: t.split(","), default=["plain", "fusemap"])
    parser.add_argument("--epochs", type=int, default=15, help="of each published phase")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if args.test == "cortex":
        out = cortex(args.root, args.draws, args.seed, args.methods, args.epochs)
        sys.stdout.write(table(out["mean"]) + "\n")
    else:
        out = simulated(args.root)
        sys.stdout.write(json.dumps(out, indent=1) + "\n")
    if args.json:
        args.json.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
