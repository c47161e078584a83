"""Cost of INSPIRE as published: memory and time of a step, beside a pass of the default mode.

python -m tests.benchmarks.bench_inspire_parity [--cells 5000 10000 20000] [--genes 200]

Two simulated sections of half the cells each, on a grid with four neighbours per cell, 15 % of
the counts above zero, 20 factors. Every line is a process of its own on one thread. Seconds are of
the processor; memory is the peak above what the process had before it began, networks included.
``pairs`` is what a dense table of all pairs of cells of every section would take, of which the
reference keeps several.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix, random

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.inspire.em import Settings as EmSettings
from backend.models.inspire.em import fit as fit_em
from backend.models.inspire.inputs import join
from backend.models.inspire.parity.batches import batches, source
from backend.models.inspire.parity.prepare import published
from backend.models.inspire.parity.settings import Encoder, Preparing, Settings
from backend.models.inspire.parity.train import start, take_step
from backend.models.inspire.start import start_from

SECTIONS, FACTORS, DENSITY, STEPS = 2, 20, 0.15, 3


def sections(cells: int, genes: int) -> list[SectionData]:
    """Return two sections of random counts on square grids."""
    return [_section(s, int((cells / SECTIONS) ** 0.5), genes) for s in range(SECTIONS)]


def _section(seed: int, side: int, genes: int) -> SectionData:
    rng = np.random.default_rng(seed)
    counts = random(side * side, genes, DENSITY, format="csr", random_state=rng)
    counts.data = 1.0 + rng.poisson(1.0, counts.nnz)
    xy = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
    names = tuple(f"G{g}" for g in range(genes))
    return SectionData(
        id=f"s{seed}",
        title=f"Section {seed}",
        xy=xy.astype(np.float32),
        counts=csr_matrix(counts, dtype=np.float32),
        genes=names,
        names=np.arange(side * side).astype(str),
    )


def step_of(encoder: Encoder, data: Sequence[SectionData]) -> float:
    """Return processor seconds of a step as published."""
    settings = Settings(encoder=encoder, factors=FACTORS)
    how = Preparing(variable=10_000, least_genes=1, least_cells=1, shared_first=True, radius=1.1)
    made, genes = published(data, how)
    ctx = RunContext(seed=0)
    t = start(len(made), len(genes), settings, ctx)
    stream = batches(source(made, settings), settings, 0, "cpu")
    take_step(t, next(stream), 0)
    began = time.process_time()
    for number in range(1, STEPS + 1):
        take_step(t, next(stream), number)
    return (time.process_time() - began) / STEPS


def pass_of(data: Sequence[SectionData]) -> float:
    """Return processor seconds of a pass of the default mode over all cells."""
    joined = join(data)
    rng = np.random.default_rng(0)
    groups = [rng.integers(0, FACTORS, s.n) for s in joined.sections]
    state = start_from(joined, groups, FACTORS)
    ctx = RunContext(seed=0)
    state = fit_em(joined, state, EmSettings(iterations=1), ctx)
    began = time.process_time()
    fit_em(joined, state, EmSettings(iterations=STEPS), ctx)
    return (time.process_time() - began) / STEPS


RUNS: dict[str, Callable[[Sequence[SectionData]], float]] = {
    "attention, a step over all cells": partial(step_of, "attention"),
    "linear, a step over 2 x 2,048 cells": partial(step_of, "linear"),
    "default mode, a pass over all cells": pass_of,
}


def cost(name: str, cells: int, genes: int) -> dict[str, float | str]:
    """Return seconds and peak memory of one line, measured in this process."""
    torch.set_num_threads(1)
    data = sections(cells, genes)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _memory_mb("VmRSS")
    seconds = RUNS[name](data)
    n = sum(s.n_cells for s in data)
    return {
        "what": name,
        "cells": n,
        "seconds": round(seconds, 3),
        "peak_mb": round(_memory_mb("VmHWM") - before),
        "pairs_mb": round(4 * (n / SECTIONS) ** 2 * SECTIONS / 2**20),
    }


def _memory_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def main() -> None:
    """Print one JSON line per size and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[5_000, 10_000, 20_000])
    parser.add_argument("--genes", type=int, default=200)
    args = parser.parse_args()
    fresh = multiprocessing.get_context("spawn")
    for cells in args.cells:
        for name in RUNS:
            with ProcessPoolExecutor(1, mp_context=fresh) as pool:
                found = pool.submit(cost, name, cells, args.genes).result()
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
