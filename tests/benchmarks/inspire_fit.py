"""The fit that a run of INSPIRE's default mode makes, alone, and kept for another time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.inspire.borrowing import choose_borrow
from backend.models.inspire.count import choose_count
from backend.models.inspire.em import Settings, State, fit
from backend.models.inspire.genes import choose_genes
from backend.models.inspire.inputs import Joined, join
from backend.models.inspire.search import search
from backend.models.inspire.tasks import LAST

Floats = NDArray[np.float64]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fit:
    """A fit without what is reported beside it; seconds are of the processor."""

    data: Joined
    state: State
    settings: Settings
    shape: float
    seconds: float


def fitted(sections: Sequence[SectionData], factors: int, hold: float, seed: int) -> Fit:
    """Return the fit that ``run`` makes, alone; the number is chosen where it is 0."""
    started = time.process_time()
    data, settings = join(sections, choose_genes(sections)), Settings(hold=hold)
    ctx = RunContext(seed=seed)
    factors = factors or chosen_count(sections, hold, seed)
    found = search(sections, data, factors, settings, seed, ctx)
    settings = replace(settings, overdispersed=found.overdispersed, iterations=LAST)
    settings = replace(settings, borrow=choose_borrow(data, found.state, settings, seed)[0])
    state = fit(data, found.state, settings, ctx)
    return Fit(data, state, settings, found.shape, time.process_time() - started)


def chosen_count(sections: Sequence[SectionData], hold: float, seed: int) -> int:
    """Return the number of factors that a run would choose."""
    data = join(sections, choose_genes(sections))
    settings = Settings(hold=hold, iterations=40)
    return choose_count(sections, data, settings, RunContext(seed=seed)).factors


def kept(
    sections: Sequence[SectionData], factors: int, hold: float, seed: int, path: Path | None
) -> Fit:
    """Return a fit from ``path``, where it is made once and kept; made anew where None."""
    if path is None:
        return fitted(sections, factors, hold, seed)
    if not path.exists():
        _keep(path, fitted(sections, factors, hold, seed))
    z = np.load(path)
    loadings = tuple(z[f"t{i}"] for i in range(len(sections)))
    state = State(loadings, z["programs"], z["scales"], z["shapes"])
    settings = Settings(
        LAST, borrow=float(z["borrow"]), hold=hold, overdispersed=bool(z["overdispersed"])
    )
    data = join(sections, choose_genes(sections))
    return Fit(data, state, settings, float(z["shape"]), float(z["seconds"]))


def _keep(path: Path, found: Fit) -> None:
    loadings = {f"t{i}": t for i, t in enumerate(found.state.loadings)}
    np.savez(
        path, programs=found.state.programs, scales=found.state.scales, shapes=found.state.shapes,
        borrow=found.settings.borrow, overdispersed=found.settings.overdispersed,
        shape=found.shape, seconds=found.seconds, **loadings,
    )  # fmt: skip


def cosine(a: Floats, b: Floats) -> Floats:
    """Return the cosine of every row with that of the other."""
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / norm)
