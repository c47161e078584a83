"""Measure contacts: false discoveries on random types by either null, and cells per second.

python -m tests.benchmarks.bench_contacts null [ATLAS.zarr SECTION ...]
python -m tests.benchmarks.bench_contacts speed [CELLS]

``null`` takes simulated tissue, and the real positions of sections where named; types are random
everywhere, so that every call is false.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.analysis.contacts import ContactParams, Patch, count_contacts
from backend.analysis.contacts_null import neighbour_pairs
from backend.store.atlas import Atlas

SHARES = np.array([0.3, 0.2, 0.1, *[0.4 / 7] * 7])
SEEDS = range(8)
PER_UM2 = 0.004


def spaced(width: float, height: float, apart: float, seed: int) -> NDArray[np.float64]:
    """Return cells at random, pushed apart to ``apart`` micrometres."""
    xy = np.random.default_rng(seed).uniform(0, [width, height], (int(width * height * PER_UM2), 2))
    for _ in range(60 if apart else 0):
        pairs = neighbour_pairs(xy, apart)
        between = xy[pairs[:, 0]] - xy[pairs[:, 1]]
        push = between * (apart / (np.linalg.norm(between, axis=1, keepdims=True) + 1e-9) - 1) / 2
        np.add.at(xy, pairs[:, 0], push * 1.05)
        np.add.at(xy, pairs[:, 1], -push * 1.05)
    return xy


def places(arguments: list[str]) -> Iterator[tuple[str, list[NDArray[np.float64]]]]:
    """Yield positions by name, one array per seed."""
    for name, width, height, apart in (
        ("square of 2 mm, Poisson", 2000, 2000, 0),
        ("square of 2 mm, cells 11 um apart", 2000, 2000, 11),
        ("band of 8 x 0.25 mm, cells 11 um apart", 8000, 250, 11),
    ):
        yield name, [spaced(width, height, apart, seed) for seed in SEEDS]
    if arguments:
        atlas = Atlas.open(arguments[0])
        for section in arguments[1:]:
            xy = np.asarray(atlas.xy[atlas.section(section).rows], np.float64)
            yield section, [xy] * len(SEEDS)


def null(arguments: list[str]) -> None:
    """Print the share of pairs called, and of runs with any call, for both nulls."""
    for name, positions in places(arguments):
        for kind in ("places", "free"):
            share, some = [], []
            for seed, xy in zip(SEEDS, positions, strict=True):
                types = np.random.default_rng(seed).choice(len(SHARES), len(xy), p=SHARES)
                params = replace(ContactParams(n_shifts=300, seed=seed), null=kind)
                found = count_contacts([Patch(name, "1", "", xy, types)], params)
                share.append(np.mean([c.call != "" for c in found]))
                some.append(any(c.call for c in found))
            say(
                f"{name}, {kind}: {100 * np.mean(share):.1f} % of pairs called, "
                f"{100 * np.mean(some):.0f} % of {len(some)} runs with any"
            )


def speed(arguments: list[str]) -> None:
    """Print the seconds of 1,000 shifts of simulated tissue, 30 types, on one thread."""
    n = int(arguments[0]) if arguments else 100_000
    side = float(np.sqrt(n / PER_UM2))
    xy = spaced(side, side, 11, 0)
    types = np.random.default_rng(0).integers(0, 30, len(xy))
    for kind in ("places", "free"):
        few = replace(ContactParams(n_shifts=20), null=kind)
        count_contacts([Patch("warm", "1", "", xy[:5000], types[:5000])], few)
        started = time.perf_counter()
        count_contacts([Patch("s", "1", "", xy, types)], replace(few, n_shifts=1000))
        took = time.perf_counter() - started
        rate = 1000 * len(xy) / took / 1e6
        say(
            f"{len(xy):,} cells, 1,000 shifts, {kind}: {took:.1f} s, "
            f"{rate:.1f} million shifted cells/s"
        )


def say(line: str) -> None:
    """Write one line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {"null": null, "speed": speed}[sys.argv[1]](sys.argv[2:])
