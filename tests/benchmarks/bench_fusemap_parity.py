"""FuseMap as published beside the default mode and plain baselines; cost and memory in one run.

python -m tests.benchmarks.bench_fusemap_parity sections PARITY [--seed 0] [--methods a,b]
python -m tests.benchmarks.bench_fusemap_parity cortex DATASETS [--hide starmap_mpfc] [--seed 0]
python -m tests.benchmarks.bench_fusemap_parity mapping PARITY [--seed 0]

``sections``: the three simulated sections of PARITY, every hidden gene scored against the counts it
would have shown. ``cortex``: STARmap V1 (1,020 genes) with both STARmap mPFC sections (166); a
fifth of the shared genes is hidden in all sections of one data set (protocol 5.2 of the notes, but
for hiding one gene per training), then types are transferred both ways with all genes. ``mapping``:
the first two simulated sections are integrated, the third is mapped as a query, types and regions
are transferred by the published classifier. ``--epochs`` shortens the published training. Every
method runs in a process of its own, on one thread; processor seconds are what other work on the
machine disturbs least, memory is the peak above what the process had before it began.
Nothing is chosen on a scored gene or label.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import RidgeCV
from sklearn.metrics import f1_score

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.intake.read import read_h5ad
from backend.models.common.agreement import cluster_ari, cross_section_accuracy, gene_r, mixing
from backend.models.common.baselines import knn_labels, knn_values, principal_components
from backend.models.fusemap.model import from_checkpoint
from backend.models.fusemap.parity.mapping import map_query
from backend.models.fusemap.parity.prepare import processed
from backend.models.fusemap.parity.settings import Settings
from backend.models.fusemap.parity.train import fit
from backend.models.fusemap.parity.transfer import transfer
from backend.models.fusemap.tasks import embed
from backend.models.fusemap.train import TrainParams, train
from backend.runs.parity_fusemap import measured
from backend.runs.threesections import full_counts, hidden_genes, read_threesections
from tests.benchmarks.published import train_published

Table = NDArray[np.floating[Any]]

#: Strengths of the ridge, chosen by leave-one-out on the section that the genes come from.
PENALTIES = tuple(10.0**p for p in range(5))


@dataclass(frozen=True)
class Found:
    """What a method gives: embeddings per section, or none, and imputed values per section."""

    imputed: list[Table]
    cell: list[Table] | None = None
    niche: list[Table] | None = None
    epochs: int = 0


Method = Callable[[Sequence[SectionData], Sequence[Sequence[str]], int, int], Found]


def parity(
    sections: Sequence[SectionData], wanted: Sequence[Sequence[str]], seed: int, epochs: int,
    **options: Any,
) -> Found:  # fmt: skip
    """Fit as published; cells that its filters drop get the mean of the others."""
    made = train_published(sections, seed, Settings(epochs=epochs, **options))
    guess = [made.imputed(v, genes) for v, genes in enumerate(wanted)]
    return Found(guess, made.cell, made.niche, len(made.fitted.history))


def default(
    sections: Sequence[SectionData], wanted: Sequence[Sequence[str]], seed: int, epochs: int
) -> Found:
    """Train the default mode with its defaults; the number of factors is its own choice."""
    params = TrainParams()
    model = from_checkpoint(train(sections, params, RunContext(seed=seed)))
    row = {g.upper(): i for i, g in enumerate(model.genes)}
    guess, cell, niche = [], [], []
    for s, genes in zip(sections, wanted, strict=True):
        m = embed(s, model)
        table = np.array([model.gene_embedding[row[g.upper()]] for g in genes if g.upper() in row])
        values = np.zeros((s.n_cells, len(genes)))
        if len(table):
            values[:, [g.upper() in row for g in genes]] = m.z @ table.T
        guess.append(values)
        cell.append(m.z)
        niche.append(m.z_niche)
    return Found(guess, cell, niche, params.iterations)


def knn(
    sections: Sequence[SectionData], wanted: Sequence[Sequence[str]], seed: int, epochs: int
) -> Found:
    """Average over 50 neighbours in 20 components of the genes that two sections share."""
    return Found(_pairwise(sections, wanted, _knn), *_shared_space(sections))


def ridge(
    sections: Sequence[SectionData], wanted: Sequence[Sequence[str]], seed: int, epochs: int
) -> Found:
    """Regress on the genes that two sections share."""
    return Found(_pairwise(sections, wanted, _ridge))


METHODS: dict[str, Method] = {
    "parity": parity,
    "parity-exact": partial(parity, decode="exact"),
    "default": default,
    "kNN": knn,
    "ridge": ridge,
}


def _pairwise(
    sections: Sequence[SectionData],
    wanted: Sequence[Sequence[str]],
    predict: Callable[[Table, Table, Table], Table],
) -> list[Table]:
    """Predict from every other section that measures a gene, and add up."""
    out: list[Table] = []
    for v, (s, genes) in enumerate(zip(sections, wanted, strict=True)):
        total = np.zeros((s.n_cells, len(genes)))
        for w, t in enumerate(sections):
            has = [i for i, g in enumerate(genes) if g in t.genes]
            if w == v or not has:
                continue
            shared = [g for g in t.genes if g in s.genes]
            values = _expression(t, [genes[i] for i in has])
            total[:, has] += predict(_standard(t, shared), values, _standard(s, shared))
        out.append(total)
    return out


def _knn(source: Table, values: Table, target: Table) -> Table:
    both = principal_components(np.concatenate([source, target]))
    return knn_values(both[: len(source)], values, both[len(source) :])


def _ridge(source: Table, values: Table, target: Table) -> Table:
    return np.asarray(RidgeCV(PENALTIES).fit(source, values).predict(target))


def _shared_space(sections: Sequence[SectionData]) -> tuple[list[Table], list[Table]]:
    """Give components of the genes that all share as cells, and again as niches: no niche here."""
    shared = sorted(set.intersection(*[set(s.genes) for s in sections]))
    pooled = principal_components(np.concatenate([_standard(s, shared) for s in sections]))
    parts = np.split(pooled, np.cumsum([s.n_cells for s in sections])[:-1])
    return parts, parts


def _expression(section: SectionData, genes: Sequence[str]) -> Table:
    place = {g: j for j, g in enumerate(section.genes)}
    return processed(section.counts[:, [place[g] for g in genes]]).toarray().astype(np.float64)


def _standard(section: SectionData, genes: Sequence[str]) -> Table:
    x = _expression(section, genes)
    return (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)


def _measured(
    name: str, sections: Sequence[SectionData], wanted: Sequence[Sequence[str]], seed: int,
    epochs: int,
) -> tuple[Found, dict[str, float]]:  # fmt: skip
    """Run a method in this process; return what it found, seconds and peak memory."""
    torch.set_num_threads(1)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, started, worked = _memory_mb("VmRSS"), time.perf_counter(), time.process_time()
    found = METHODS[name](sections, wanted, seed, epochs)
    seconds = time.perf_counter() - started
    busy = time.process_time() - worked
    cost = {"seconds": seconds, "cpu_seconds": busy, "peak_mb": _memory_mb("VmHWM") - before}
    if found.epochs:
        cost |= {"epochs": found.epochs, "cpu_seconds_per_epoch": busy / found.epochs}
    return found, cost


def _memory_mb(field: str) -> float:
    """Return VmRSS (now) or VmHWM (peak) of this process; getrusage counts the parent's too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def _alone(task: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``task(*arguments)`` computed in a fresh process."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(task, *arguments).result()


def simulated(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one row per method for the simulated sections."""
    made = read_threesections(args.folder / "threesections_truth.npz")
    sections = [s.data for s in made]
    hidden = [hidden_genes(s) for s in made]
    wanted = [[f"GENE{g:03d}" for g in genes] for genes in hidden]
    truth = [
        processed(full_counts(s)).toarray()[:, genes] for s, genes in zip(made, hidden, strict=True)
    ]
    types, regions = (np.concatenate([getattr(s, n) for s in made]) for n in ("types", "regions"))
    origin = np.repeat(np.arange(3), [len(s.types) for s in made])
    rows = []
    for name in args.methods:
        found, cost = _alone(_measured, name, sections, wanted, args.seed, args.epochs)
        r = [float(gene_r(g, t).mean()) for g, t in zip(found.imputed, truth, strict=True)]
        row: dict[str, Any] = {"method": name, "imputation_r": r, **cost}
        if found.cell is not None and found.niche is not None:
            cell, niche = np.concatenate(found.cell), np.concatenate(found.niche)
            row |= {
                "type_ari": cluster_ari(cell, types),
                "region_ari": cluster_ari(niche, regions),
                "cross_section_knn": cross_section_accuracy(cell, types, origin),
                "mixing": mixing(cell, origin),
            }
        rows.append(row)
        _say(row)
    return rows


def cortex(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return rows of imputation with genes hidden in one data set, or of type transfer."""
    names = ("starmap_v1_1020", "starmap_mpfc")
    whole = [s for n in names for s in read_h5ad(args.folder / n / f"{n}.h5ad")]
    if args.hide is None:
        return _transfer_rows(whole, args)
    genes = _drawn(whole, args.seed)
    hit = [s.dataset == args.hide for s in whole]
    sections = [_without(s, genes) if h else s for s, h in zip(whole, hit, strict=True)]
    wanted = [genes if h else [] for h in hit]
    rows = []
    for name in args.methods:
        found, cost = _alone(_measured, name, sections, wanted, args.seed, args.epochs)
        r = [
            gene_r(g, _log_expression(s, genes))
            for g, s, h in zip(found.imputed, whole, hit, strict=True)
            if h
        ]
        mean = float(np.concatenate(r).mean())
        rows.append(
            {"method": name, "hidden_in": args.hide, "genes": len(genes), "r": mean, **cost}
        )
        _say(rows[-1])
    return rows


def _drawn(sections: Sequence[SectionData], seed: int) -> list[str]:
    """Draw a fifth of the genes that all sections share."""
    shared = sorted(set.intersection(*[set(s.genes) for s in sections]))
    drawn = np.random.default_rng(seed).permutation(len(shared))[: len(shared) // 5]
    return [shared[i] for i in sorted(drawn)]


def _without(section: SectionData, genes: Sequence[str]) -> SectionData:
    kept = [j for j, g in enumerate(section.genes) if g not in set(genes)]
    names = tuple(section.genes[j] for j in kept)
    return replace(section, counts=csr_matrix(section.counts[:, kept]), genes=names)


def _log_expression(section: SectionData, genes: Sequence[str]) -> Table:
    """Return processed values of some genes, by totals of the whole panel."""
    place = {g: j for j, g in enumerate(section.genes)}
    return processed(section.counts).toarray()[:, [place[g] for g in genes]].astype(np.float64)


#: Names of the labels of both data sets in one vocabulary; types of one of them alone are left out.
COARSE = {
    "eL2/3": "excitatory", "eL4": "excitatory", "eL5": "excitatory", "eL6-1": "excitatory",
    "eL6-2": "excitatory", "eL5-2": "excitatory", "eL5-3": "excitatory", "HPC": "excitatory",
    "PVALB": "inhibitory", "SST": "inhibitory", "VIP": "inhibitory", "NPY": "inhibitory",
    "Lhx6": "inhibitory", "Oligo": "oligo", "Astro": "astro", "Astro-1": "astro",
    "Astro-2": "astro", "Endo": "vascular", "Smc": "vascular",
}  # fmt: skip
CLASSES = tuple(dict.fromkeys(COARSE.values()))


def _transfer_rows(
    sections: Sequence[SectionData], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Transfer coarse types from V1 to mPFC and back, in the space of every method that has one."""
    codes = [_codes(s) for s in sections]
    first = np.array([s.dataset == "starmap_v1_1020" for s in sections])
    rows = []
    for name in args.methods:
        found, cost = _alone(
            _measured, name, sections, [[]] * len(sections), args.seed, args.epochs
        )
        if found.cell is None:
            continue
        for title, is_source in (("V1 to mPFC", first), ("mPFC to V1", ~first)):
            z, c = (
                [
                    np.concatenate([x[i] for i in np.flatnonzero(side)])
                    for side in (is_source, ~is_source)
                ]
                for x in (found.cell, codes)
            )
            rows.append({"method": name, "transfer": title, **_vote(z, c, args.seed), **cost})
            _say(rows[-1])
    return rows


def _vote(z: list[Table], codes: list[NDArray[np.int64]], seed: int) -> dict[str, float]:
    """Accuracy and macro-F1 of the published classifier and of 15 neighbours."""
    keep = [c >= 0 for c in codes]
    (known, query), (code, truth) = (
        [a[k] for a, k in zip(x, keep, strict=True)] for x in (z, codes)
    )
    guesses = {
        "mlp": transfer(known.astype(np.float32), code, query.astype(np.float32), seed).codes,
        "knn15": knn_labels(known.astype(np.float64), code, query.astype(np.float64)),
    }
    out: dict[str, float] = {"majority": float(np.bincount(truth).max() / len(truth))}
    for name, guess in guesses.items():
        out[f"{name}_accuracy"] = float((guess == truth).mean())
        out[f"{name}_f1"] = float(f1_score(truth, guess, average="macro", labels=np.unique(truth)))
    return out


def _codes(section: SectionData) -> NDArray[np.int64]:
    label = section.labels["type"]
    place = [CLASSES.index(COARSE[c.name]) if c.name in COARSE else -1 for c in label.categories]
    return np.where(label.codes >= 0, np.array(place)[label.codes], -1).astype(np.int64)


def mapping(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one row per share of the reference that a step of mapping sees, and per gate."""
    made = read_threesections(args.folder / "threesections_truth.npz")
    given = [measured(s) for s in made]
    settings, ctx = Settings(epochs=args.epochs), RunContext(seed=args.seed)
    fitted = fit(given[:2], settings, ctx)
    rows = []
    for fraction, gate in ((0.02, False), (0.02, True), (0.25, False), (0.25, True)):
        started = time.perf_counter()
        found = map_query(fitted, given[2], settings, ctx, fraction=fraction, gate=gate)
        row: dict[str, Any] = {
            "fraction": fraction,
            "gate": gate,
            "seconds": time.perf_counter() - started,
        }
        for label, kind in (("types", "cell"), ("regions", "niche")):
            z = np.concatenate([getattr(s, kind) for s in fitted.sections])
            codes = np.concatenate([getattr(s, label) for s in made[:2]])
            truth = getattr(made[2], label)
            said = transfer(z, codes, getattr(found, kind), args.seed)
            near = knn_labels(z.astype(np.float64), codes, getattr(found, kind).astype(np.float64))
            row[label] = {
                "mlp_accuracy": float((said.codes == truth).mean()),
                "mlp_f1": float(f1_score(truth, said.codes, average="macro")),
                "knn15_accuracy": float((near == truth).mean()),
            }
        rows.append(row)
        _say(row)
    return rows


def _say(row: dict[str, Any]) -> None:
    sys.stderr.write(json.dumps(row) + "\n")


WHAT = {"sections": simulated, "cortex": cortex, "mapping": mapping}


def main() -> None:
    """Write the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=tuple(WHAT))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hide", choices=("starmap_v1_1020", "starmap_mpfc"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=Settings().epochs)
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(METHODS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps(WHAT[args.what](args), indent=1) + "\n")


if __name__ == "__main__":
    main()
