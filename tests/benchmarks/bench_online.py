"""Online EM beside the batch EM on wide panels: time, memory and what hidden structure they find.

python -m tests.benchmarks.bench_online [--cells 60000] [--genes 3000] [--batch 2000]

Two data sets of Poisson counts with eight factors measure overlapping halves-and-more of the genes,
so wide that every iteration of the batch EM is a pass over all cells. Each fit runs in a process of
its own on one thread; "overlap" is the least cosine between the space that its gene embedding spans
and the one that made the counts (on the log scale), over the genes that both data sets measure.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix, vstack

from backend.core.job import RunContext
from backend.models.common.factors import FactorFit, balance_weights, fit
from backend.models.common.moments import Moments, moments_of
from backend.models.common.online import fit_online
from backend.models.common.prep import Prepared, gene_statistics

FACTORS, BLOCK = 8, 5_000


def prepared(number: int, n_cells: int, n_genes: int) -> tuple[Prepared, np.ndarray]:
    """Draw one data set on the log scale; return it and the loadings of all genes."""
    shared = np.random.default_rng(0)
    loadings = shared.normal(size=(FACTORS, n_genes)) * 0.4
    base = shared.normal(-2.0, 0.9, n_genes)
    width = 3 * n_genes // 4
    panel = np.arange(width) + number * (n_genes - width)
    rng = np.random.default_rng([1, number])
    blocks = []
    for start in range(0, n_cells, BLOCK):
        z = rng.normal(size=(min(BLOCK, n_cells - start), FACTORS))
        counts = rng.poisson(np.exp(base[panel] + z @ loadings[:, panel]))
        blocks.append(csr_matrix(np.log1p(counts).astype(np.float32)))
    x = csr_matrix(vstack(blocks))
    mean, sd = gene_statistics(x)
    return Prepared(x, panel, mean, np.where(sd > 0, sd, 1.0)), loadings


def run(batch: int, n_cells: int, n_genes: int, iterations: int) -> dict[str, float]:
    """Fit to all cells, or to batches; report cost and overlap."""
    torch.set_num_threads(1)
    made = [prepared(i, n_cells // 2, n_genes) for i in (0, 1)]
    moments: list[Moments] = [moments_of(p) for p, _ in made]
    weights = balance_weights([p.n_cells for p, _ in made], ["a", "b"])
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = memory_mb("VmRSS")
    settings = FactorFit(FACTORS, iterations, batch=batch)
    started = time.process_time()
    way = fit_online if batch else fit
    state = way(moments, n_genes, weights, settings, RunContext())
    seconds, peak = time.process_time() - started, memory_mb("VmHWM") - before
    both = np.intersect1d(made[0][0].genes, made[1][0].genes)
    found = np.linalg.qr(state.embedding.numpy()[both])[0]
    true = np.linalg.qr(made[0][1].T[both])[0]
    return {
        "batch": batch,
        "cpu_seconds": round(seconds, 2),
        "peak_mb_above_the_data": round(peak, 1),
        "overlap": round(float(np.linalg.svd(found.T @ true, compute_uv=False).min()), 4),
    }


def memory_mb(field: str) -> float:
    """Return VmRSS (now) or VmHWM (peak) of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def main(arguments: list[str]) -> None:
    """Report both fits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=60_000)
    parser.add_argument("--genes", type=int, default=3_000)
    parser.add_argument("--batch", type=int, default=2_000)
    parser.add_argument("--iterations", type=int, default=100)
    args = parser.parse_args(arguments)
    rows = []
    for batch in (0, args.batch):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            task = pool.submit(run, batch, args.cells, args.genes, args.iterations)
            rows.append(task.result())
        sys.stderr.write(json.dumps(rows[-1]) + "\n")
    sys.stdout.write(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
