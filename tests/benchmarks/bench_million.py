"""Time and memory of fitting one million cells and 500 genes, as JSON.

python -m tests.benchmarks.bench_million [--cells 1000000] [--sections 20]

Sections of two data sets measure 400 of 500 genes each; counts are Poisson with eight factors and
about 60 genes detected per cell. What is timed is ``train`` whole: reading counts, neighbours,
choosing on hidden genes, the fit, and trust with one fold.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time

import numpy as np
from scipy.sparse import csr_matrix, vstack

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.fusemap.train import TrainParams, train

GENES, PANEL, FACTORS, BLOCK = 500, 400, 8, 10_000


def section(number: int, n_cells: int, seed: int = 0) -> SectionData:
    """Draw one section."""
    shared = np.random.default_rng(seed)
    loadings = shared.normal(size=(FACTORS, GENES)) * 0.4
    base = shared.normal(-2.3, 0.9, GENES)
    rng = np.random.default_rng([seed, number])
    dataset = number % 2
    panel = np.arange(PANEL) + dataset * (GENES - PANEL)
    blocks = []
    for start in range(0, n_cells, BLOCK):
        z = rng.normal(size=(min(BLOCK, n_cells - start), FACTORS))
        rate = np.exp(base[panel] + z @ loadings[:, panel])
        blocks.append(csr_matrix(rng.poisson(rate).astype(np.float32)))
    side = np.sqrt(n_cells) * 12
    return SectionData(
        id=f"s{number}",
        title=f"Section {number}",
        xy=(rng.random((n_cells, 2)) * side).astype(np.float32),
        counts=csr_matrix(vstack(blocks)),
        genes=tuple(f"Gene{g}" for g in panel),
        names=np.arange(n_cells).astype(str),
        dataset=f"d{dataset}",
    )


def main(arguments: list[str]) -> None:
    """Simulate, train, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--sections", type=int, default=20)
    args = parser.parse_args(arguments)
    sections = [section(i, args.cells // args.sections) for i in range(args.sections)]
    nonzero = sum(s.counts.nnz for s in sections)
    before = _peak_gb()
    started, work = time.perf_counter(), time.process_time()
    made = train(sections, TrainParams(trust_folds=1), RunContext(report=_say))
    out = {
        "cells": sum(s.n_cells for s in sections),
        "genes": len(made.card["genes"]),
        "detected_per_cell": nonzero / args.cells,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - work,
        "peak_gb_before": before,
        "peak_gb": _peak_gb(),
        "chosen": {k: made.card["params"][k] for k in ("scale", "factors", "refine")},
        "held_out_gene_r": made.card["metrics"].get("held_out_gene_r"),
    }
    sys.stdout.write(json.dumps(out, indent=1) + "\n")


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _say(fraction: float, message: str) -> None:
    sys.stderr.write(f"{100 * fraction:5.1f} % {message}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
