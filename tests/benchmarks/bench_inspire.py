"""Figures of INSPIRE's default mode beside its baselines, as a table and as JSON.

python -m tests.benchmarks.bench_inspire planted [SEED ...] [--noisy] [--choose] [--json OUT]
python -m tests.benchmarks.bench_inspire threesections PARITY [SEED ...] [--json OUT]
python -m tests.benchmarks.bench_inspire real DATASETS [SET ...] [--seeds 2] [--keep FOLDER]
python -m tests.benchmarks.bench_inspire cost [CELLS ...]        wall, memory; each in a process
python -m tests.benchmarks.bench_inspire place                   a new section of 10,000 cells

Of the seeds of ``planted`` noisy 7001 and 7002 were looked at while the pruning of
starts was settled. ``real``: see ``inspire_real``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.common.agreement import cluster_ari, gene_r
from backend.models.common.prep import normalised
from backend.models.inspire.count import matched
from backend.models.inspire.domains import find_domains, labels_of
from backend.models.inspire.model import place
from backend.models.inspire.readout import of_places, presence
from backend.models.inspire.tasks import SectionsParams, run
from backend.runs.threesections import full_counts, hidden_genes, read_threesections
from tests.benchmarks.inspire_fit import Fit, Row, cosine, fitted
from tests.benchmarks.inspire_real import from_real
from tests.benchmarks.inspire_sets import SEEDS, SETS, large, planted
from tests.models.inspire.planted import Planted

Floats = NDArray[np.float64]


def from_planted(seed: int, noisy: bool, choose: bool) -> Row:
    """Return how well planted factors come back.

    Loadings are held against the truth as each section sees them (times its scales), since a
    gene of one panel has no scale that could be told from its loading; ``plain cosine`` does not.
    """
    made = planted(seed, noisy)
    started = time.process_time()
    found = fitted(made.sections, 0 if choose else 8, 5.0, 0)
    seconds = time.process_time() - started
    p = found.state.proportions()
    partner, r = matched(np.vstack(made.proportions), np.vstack(p))
    there = presence(p)[:, partner]
    row = {
        "seed": seed, "factors": found.state.k, "r": r.mean(), "weakest r": r.min(),
        "specific r": r[-2:].mean() if len(r) == 8 else float("nan"),
        "borrow": found.settings.borrow,
        "present right": f"{int((there == made.present[:, : len(r)]).sum())} of {there.size}",
        "noise": found.shape if found.settings.overdispersed else None, "seconds": seconds,
    }  # fmt: skip
    return {**row, **_loadings(made, found, partner)} if len(r) == 8 else row


def _loadings(made: Planted, found: Fit, partner: NDArray[np.int64]) -> Row:
    place_of = np.array([int(g[1:]) for g in found.data.genes])
    programs = found.state.programs[partner]
    truth = made.programs[:, place_of]
    seen = []
    for s, cells in enumerate(found.data.sections):
        g = cells.genes
        scaled = truth[:, g] * made.scales[s, place_of[g]]
        seen.append(cosine(scaled, programs[:, g] * found.state.scales[s, g])[made.present[s]])
    # What is left of the truth where nobody tells the scales of a gene from its loadings, and
    # what is left of the fit if somebody did.
    measured = found.data.measured
    logs = np.where(measured, np.log(made.scales[:, place_of]), 0.0)
    scaled = truth * np.exp(logs.sum(axis=0) / measured.sum(axis=0))
    level = truth.mean(axis=0) / programs.mean(axis=0)
    return {"loadings cosine": float(np.concatenate(seen).mean()),
            "plain cosine": float(cosine(truth, programs).mean()),
            "most plain cosine": float(cosine(truth, scaled).mean()),
            "cosine at true levels": float(cosine(truth, programs * level).mean())}  # fmt: skip


def from_threesections(folder: Path, seed: int, factors: int) -> Row:
    """Return agreement with types and regions, and r of the genes that a section lacks."""
    made = read_threesections(folder / "threesections_truth.npz")
    params = SectionsParams(factors=factors, checks=False)
    found = run([s.data for s in made], params, RunContext(seed=seed))
    cells = found.state.proportions()
    row: Row = {"seed": seed, "factors": found.state.k}
    types = np.concatenate([s.types for s in made])
    regions = np.concatenate([s.regions for s in made])
    row["type ARI"] = cluster_ari(np.vstack(cells), types, seed)
    row["region ARI"] = cluster_ari(np.vstack(of_places(found.data, cells)), regions, seed)
    found_domains = find_domains(found.data, found.state, 5, seed)
    labels = np.concatenate(labels_of(found_domains.likely))
    row["domains ARI"] = float(adjusted_rand_score(regions, labels))
    row["borrow"] = found.settings.borrow
    number = {g.upper(): j for j, g in enumerate(found.whole.genes)}
    for s, section in enumerate(made):
        hidden = hidden_genes(section)
        truth = normalised(full_counts(section), True)[:, hidden].toarray()
        columns = [number[f"GENE{g:03d}"] for g in hidden if f"GENE{g:03d}" in number]
        known = [j for j, g in enumerate(hidden) if f"GENE{g:03d}" in number]
        guess = np.log1p(150 * cells[s] @ found.whole_state.programs[:, columns])
        row[f"genes r {s}"] = float(gene_r(guess, truth[:, known].astype(np.float64)).mean())
    return row


def cost(sizes: Sequence[int]) -> list[Row]:
    """Return wall time and peak memory of a whole run without checks, each in its own process."""
    rows = []
    for n in sizes:
        command = [sys.executable, "-m", "tests.benchmarks.bench_inspire", "one-cost", str(n)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    return rows


def one_cost(cells: int) -> Row:
    """Return the cost of one run in this process."""
    sections = large(cells, 1_000, 1)
    before = _memory()
    started, cpu = time.perf_counter(), time.process_time()
    found = run(sections, SectionsParams(factors=10, checks=False), RunContext(seed=0))
    row = {"cells": cells, "wall s": time.perf_counter() - started,
           "processor s": time.process_time() - cpu, "data GB": before, "peak GB": _memory(),
           "steps": found.figures["seconds"]}  # fmt: skip
    started, cpu = time.perf_counter(), time.process_time()
    find_domains(found.data, found.state, 10, 0)
    return {**row, "domains, processor s": time.process_time() - cpu, "with domains GB": _memory()}


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def placing() -> list[Row]:
    """Return seconds to place 10,000 cells in a trained model, with and without a free program."""
    sections = large(22_000, 1_000, 2, 2)
    found = run(
        [_first(s, 1_000) for s in sections], SectionsParams(factors=10, checks=False),
        RunContext(seed=0),
    )  # fmt: skip
    rows = []
    for offer in (False, True):
        new = _first(sections[1], 10_000)
        place(found.fitted, _first(sections[0], 300), RunContext(), offer)
        started, cpu = time.perf_counter(), time.process_time()
        place(found.fitted, new, RunContext(), offer)
        rows.append({"cells": new.n_cells, "free program": offer,
                     "wall s": time.perf_counter() - started,
                     "processor s": time.process_time() - cpu})  # fmt: skip
    return rows


def _first(section: SectionData, n: int) -> SectionData:
    return replace(section, xy=section.xy[:n], counts=section.counts[:n], names=section.names[:n])


def _table(rows: Sequence[Row]) -> str:
    """Rows with plain values as a table."""
    heads = list(
        dict.fromkeys(k for row in rows for k, v in row.items() if not isinstance(v, dict))
    )
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for row in rows:
        values = [row.get(h) for h in heads]
        lines.append("| " + " | ".join(_shown(v) for v in values) + " |")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Run one part and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ("planted", "threesections", "real", "cost", "one-cost", "place")
    parser.add_argument("part", choices=parts)
    parser.add_argument("more", nargs="*")
    parser.add_argument("--noisy", action="store_true")
    parser.add_argument("--choose", action="store_true", help="the number of factors as well")
    parser.add_argument("--factors", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder that keeps fits for another time")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows: list[Row] = []
    for more in _pieces(args):
        rows += more
        sys.stdout.write("".join(json.dumps(r, default=float) + "\n" for r in more))
        sys.stdout.flush()
    if args.part != "one-cost":
        sys.stdout.write(_table(rows) + "\n")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1, default=float) + "\n")


def _pieces(args: argparse.Namespace) -> Any:
    """Yield rows as they are ready."""
    if args.part == "planted":
        for seed in [int(s) for s in args.more] or SEEDS:
            yield [from_planted(seed, args.noisy, args.choose)]
    elif args.part == "threesections":
        for seed in [int(s) for s in args.more[1:]] or range(3):
            yield [from_threesections(Path(args.more[0]), seed, args.factors)]
    elif args.part == "real":
        for name in args.more[1:] or SETS:
            yield from_real(Path(args.more[0]), name, args.seeds, args.keep)
    elif args.part == "cost":
        for n in [int(n) for n in args.more] or [20_000, 50_000, 100_000, 200_000, 500_000]:
            yield cost([n])
    elif args.part == "one-cost":
        yield [one_cost(int(args.more[0]))]
    else:
        yield placing()


if __name__ == "__main__":
    main()
