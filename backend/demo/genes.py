"""The genes of the demo: symbols, and how the log rate of each depends on type, region, place.

log rate of gene g in a cell = base_g + type effect + region effect + s . loadings_g, where s are
smooth functions of the place, scaled by how strongly the cell's type changes along the brain. The
effects have low rank but for the markers. Genes without a real counterpart are called Sim00001 and
so on. A gene's effects depend on the seed and its place in the list, not on how many genes follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import BadRequest
from backend.demo.markers import BRIDGE, LESION, MARKERS
from backend.demo.regions import families
from backend.demo.types import class_of_type, classes, type_names

#: Smooth functions of the place.
N_FACTORS = 6
#: Dimensions of the shared profile of types.
_RANK = 12
#: Genes whose random effects are drawn together.
_BLOCK = 1024
#: log rate of a marker where it is off, relative to an ordinary gene.
_OFF = -1.7


@dataclass(frozen=True, slots=True)
class GeneModel:
    """All that decides the expected expression of any cell.

    Parameters
    ----------
    symbols : tuple of str
        g symbols.
    base : (g,) float32
        Log rate, arbitrary unit.
    of_type : (types + 1, g) float32
        Added per type; the last row is the type that no atlas section holds.
    of_region : (parents, g) float32
        Added per parent region.
    loadings : (N_FACTORS, g) float32
    """

    symbols: tuple[str, ...]
    base: NDArray[np.float32]
    of_type: NDArray[np.float32]
    of_region: NDArray[np.float32]
    loadings: NDArray[np.float32]

    def places(self, genes: tuple[str, ...]) -> NDArray[np.int32]:
        """Return the place of each gene."""
        place = {symbol: i for i, symbol in enumerate(self.symbols)}
        return np.array([place[gene] for gene in genes], np.int32)


def gene_symbols(count: int) -> tuple[str, ...]:
    """Return ``count`` symbols: bridge genes, other markers, then invented names.

    Raises
    ------
    BadRequest
        If there are fewer than the bridge genes.
    """
    if count < len(BRIDGE):
        raise BadRequest(
            f"The demo needs at least {len(BRIDGE)} genes, not {count}.",
            "These are the genes that all its panels share.",
        )
    named = [*BRIDGE, *(gene for gene in MARKERS if gene not in BRIDGE)][:count]
    return (*named, *(f"Sim{i + 1:05d}" for i in range(count - len(named))))


def gene_model(count: int, seed: int) -> GeneModel:
    """Return the effects of ``count`` genes."""
    symbols = gene_symbols(count)
    profile = _type_profile(seed)
    blocks = [
        _random_effects(profile, seed, block) for block in range((count + _BLOCK - 1) // _BLOCK)
    ]
    base, of_type, of_region, loadings = (
        np.concatenate([b[k] for b in blocks], axis=-1)[..., :count].astype(np.float32)
        for k in range(4)
    )
    targets = _targets()
    for place, symbol in enumerate(symbols):
        if symbol in MARKERS:
            base[place] = _OFF
            of_type[:, place] *= 0.25
            for name, rise in MARKERS[symbol]:
                rows, is_type = targets[name]
                (of_type if is_type else of_region)[rows, place] += rise
        if symbol in LESION:
            of_type[-1, place] += 3.6
    return GeneModel(symbols, base, of_type, of_region, loadings)


def _targets() -> dict[str, tuple[NDArray[np.int64], bool]]:
    """Rows that a name of a class, type or parent region stands for; a type goes before a class."""
    rows = {family.name: (np.array([i]), False) for i, family in enumerate(families())}
    of_type = class_of_type()
    for i, c in enumerate(classes()):
        rows[c.name] = (np.flatnonzero(of_type == i), True)
    for i, name in enumerate(type_names()):
        rows[name] = (np.array([i]), True)
    return rows


def _type_profile(seed: int) -> NDArray[np.float64]:
    """Return (types + 1, rank): types of a class resemble one another; the last stands alone."""
    rng = np.random.default_rng([seed, 101])
    shared = rng.normal(0.0, 0.85, (len(classes()) + 1, _RANK))
    own = rng.normal(0.0, 0.5, (len(type_names()) + 1, _RANK))
    of_class = np.append(class_of_type(), len(classes()))
    profile: NDArray[np.float64] = shared[of_class] + own
    return profile


def _random_effects(
    profile: NDArray[np.float64], seed: int, block: int
) -> tuple[NDArray[np.float64], ...]:
    """Return base, type effects, region effects and loadings of a block of genes.

    One gene in five is a housekeeping gene: only its base differs from zero. One in four also
    marks one to three types of its own; one in ten a parent region.
    """
    rng = np.random.default_rng([seed, 102, block])
    g = _BLOCK
    lively = rng.random(g) > 0.2
    mixing = rng.normal(0.0, 1.0, (_RANK, g)) * (rng.random((_RANK, g)) < 0.3)
    of_type = np.clip(profile @ mixing * 0.8, -2.5, 3.0)
    marks = (rng.random((profile.shape[0], g)) < 0.025) & (rng.random(g) < 0.25)
    of_type = np.clip(of_type + marks * rng.uniform(1.5, 3.0, g), -2.5, 3.2)
    of_region = rng.normal(0.0, 0.6, (len(families()), g)) * (rng.random(g) < 0.15)
    of_region += (rng.random(of_region.shape) < 0.012) * 1.8
    loadings = rng.normal(0.0, 0.7, (N_FACTORS, g)) * (rng.random((N_FACTORS, g)) < 0.16)
    base = np.clip(rng.normal(-0.9, 0.9, g) + np.where(lively, 0.0, 0.6), -3.0, 0.8)
    return base, of_type * lively, of_region * lively, loadings * lively
