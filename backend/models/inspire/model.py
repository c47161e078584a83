"""A fitted model as a value: programs to place new sections by, saved as a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.core.errors import BadCheckpoint, NoSharedGenes
from backend.core.job import RunContext
from backend.models.common.checkpoint import Checkpoint
from backend.models.inspire.card import CARD
from backend.models.inspire.count import gain, thinned
from backend.models.inspire.em import Floats, Settings, State, fit, shares
from backend.models.inspire.inputs import Joined, join

#: Passes by which a new section is placed, and its cells that a free program starts from.
PASSES, WORST = 30, 60
#: Gain in nats per held-out count from which a free program is offered.
WORTH = 0.005
#: Genes that a new section must share with the model.
LEAST_SHARED = 10


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model.

    Parameters
    ----------
    genes : tuple of G str
    programs : (K, G) rows sum to 1
    shapes : (G,) shape of gamma noise
    usage : (K,) mean proportion over all sections
    names : tuple of K str
    borrow : float
        See ``em.Settings``.
    about : mapping
        JSON values: seed, parameters, data, metrics.
    """

    genes: tuple[str, ...]
    programs: Floats
    shapes: Floats
    usage: Floats
    names: tuple[str, ...]
    borrow: float
    about: Mapping[str, Any]

    @property
    def k(self) -> int:
        """Number of factors."""
        return len(self.programs)


@dataclass(frozen=True, slots=True)
class Placed:
    """A new section placed by a model.

    Parameters
    ----------
    proportions : (n, K) or (n, K + 1) where a program was added
    state : State
    shared : int
        Genes that section and model have in common.
    gain, gain_free : float
        Nats per held-out count, without and with one free program (nan where not asked).
    free : (G,) float64 or None
        The added program, where it is worth having.
    """

    proportions: Floats
    state: State
    data: Joined
    shared: int
    gain: float
    gain_free: float
    free: Floats | None


def place(
    fitted: Fitted, section: SectionData, ctx: RunContext, offer_free: bool = False, seed: int = 0
) -> Placed:
    """Return proportions of a new section, the programs as they are.

    Parameters
    ----------
    fitted : Fitted
    section : SectionData
        Raw counts of any panel that shares ``LEAST_SHARED`` genes.
    ctx : RunContext
    offer_free : bool
        Whether one program for what is new is tried, and kept where held-out counts gain by it.

    Raises
    ------
    NoSharedGenes
    """
    data = join([section], fitted.genes)
    shared = len(data.sections[0].genes)
    if shared < LEAST_SHARED:
        raise NoSharedGenes(
            f"'{section.title}' shares {shared} genes with the model; {LEAST_SHARED} are needed.",
            f"The model has {len(fitted.genes):,}, such as {', '.join(fitted.genes[:4])}.",
        )
    settings = Settings(iterations=PASSES, borrow=fitted.borrow)
    state = fit(data, _begin(fitted, data), settings, ctx, frozen=fitted.k)
    without, with_free, program = float("nan"), float("nan"), None
    if offer_free:
        without, with_free = _gains(fitted, data, settings, seed)
        if with_free - without > WORTH:
            begin = _with_free(fitted, data, state)
            more = replace(settings, iterations=2 * PASSES)
            state = fit(data, begin, more, ctx, frozen=fitted.k)
            program = state.programs[-1]
    return Placed(state.proportions()[0], state, data, shared, without, with_free, program)


def _begin(fitted: Fitted, data: Joined) -> State:
    cells = data.sections[0]
    in_panel = np.maximum(fitted.programs[:, cells.genes].sum(axis=1), 1e-6)
    t = np.maximum(cells.depth, 0.5)[:, None] * (fitted.usage / (fitted.usage @ in_panel))
    return State((t,), fitted.programs, np.ones((1, len(fitted.genes))), fitted.shapes)


def _with_free(fitted: Fitted, data: Joined, state: State) -> State:
    """Return a state with one more program: that of the cells which the model fits worst."""
    cells = data.sections[0]
    v, t = state.effective(0, cells), state.loadings[0]
    coo = cells.counts.tocoo()
    rate = np.einsum("ik,ik->i", t[coo.row], v[coo.col]) + 1e-9
    surprise = np.bincount(coo.row, coo.data * np.log(np.maximum(coo.data, 1e-9) / rate), cells.n)
    worst = np.argsort(-surprise / np.maximum(cells.depth, 1.0), kind="stable")[:WORST]
    program = fitted.programs.mean(axis=0) * 1e-3
    own = np.asarray(cells.counts[worst].sum(axis=0), dtype=np.float64).ravel()
    program[cells.genes] += (own + 0.1) / (own.sum() + 0.1 * len(own))
    start = 0.05 * t.sum(axis=1, keepdims=True)
    start[worst] = t[worst].sum(axis=1, keepdims=True)
    programs = shares(np.vstack([state.programs, program]))
    return replace(state, loadings=(np.hstack([t, start]),), programs=programs)


def _gains(fitted: Fitted, data: Joined, settings: Settings, seed: int) -> tuple[float, float]:
    shown, hidden = thinned(data, 0.2, seed)
    quiet = RunContext()
    own = fit(shown, _begin(fitted, shown), settings, quiet, frozen=fitted.k)
    more = replace(settings, iterations=2 * PASSES)
    free = fit(shown, _with_free(fitted, shown, own), more, quiet, frozen=fitted.k)
    return gain(shown, hidden, own, 0.25), gain(shown, hidden, free, 0.25)


def to_checkpoint(fitted: Fitted, sections: Sequence[SectionData]) -> Checkpoint:
    """Return the model as a card and tensors."""
    tensors: dict[str, NDArray[Any]] = {
        "programs": fitted.programs.astype(np.float32),
        "shapes": fitted.shapes.astype(np.float32),
        "usage": fitted.usage.astype(np.float32),
    }
    card = {
        "seed": 0,
        "metrics": {},
        "licences": {},
        **fitted.about,
        "model": CARD.name,
        "version": CARD.version,
        "genes": list(fitted.genes),
        "factors": list(fitted.names),
        "borrow": fitted.borrow,
        "data": [s.id for s in sections],
    }
    return Checkpoint(card, tensors)


def from_checkpoint(checkpoint: Checkpoint) -> Fitted:
    """Return the model that a checkpoint holds.

    Raises
    ------
    BadCheckpoint
        If it is of another model, or its tensors do not fit its card.
    """
    card, tensors = checkpoint.card, checkpoint.tensors
    try:
        programs = np.asarray(tensors["programs"], dtype=np.float64)
        genes, names = tuple(card["genes"]), tuple(card["factors"])
        shapes, usage = (np.asarray(tensors[n], dtype=np.float64) for n in ("shapes", "usage"))
        fits = programs.shape == (len(names), len(genes)) and usage.shape == (len(names),)
        if not fits or shapes.shape != (len(genes),) or card["model"] != CARD.name:
            raise ValueError("its tensors do not fit its card")
        return Fitted(genes, shares(programs), shapes, usage, names, float(card["borrow"]), card)
    except (KeyError, TypeError, ValueError) as error:
        raise BadCheckpoint(
            f"The checkpoint is not a complete INSPIRE model ({str(error)[:100]}).",
            "Fit it again: python -m backend factors FILE ... -o OUT.h5ad --save-model FOLDER",
        ) from error
