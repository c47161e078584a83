"""Technologies that the demo imitates: panel, depth, noise, and what one observation is."""

from __future__ import annotations

import math
import zlib
from typing import Literal, NamedTuple

import numpy as np

from backend.demo.markers import BRIDGE


class Technology(NamedTuple):
    """One way of measuring.

    Parameters
    ----------
    key, name : str
        Short name for ids, and the name people read.
    panel : int
        Genes measured of 3,000 (``is_open``: of more genes, the same share).
    median : float
        Counts of a typical cell.
    theta : int
        Shape of the negative binomial; smaller is noisier.
    depth, gene_batch, section_batch : float
        Spread (log) of depth over cells, of gene effects over technologies and over sections.
    dropout : float
        Share of entries lost on top.
    unit : str
        What is observed: a cell, a spot that mixes cells, or a bead.
    """

    key: str
    name: str
    panel: int
    is_open: bool
    median: float
    theta: int
    depth: float
    gene_batch: float
    section_batch: float
    dropout: float
    unit: Literal["cell", "spot", "bead"]


def technologies() -> dict[str, Technology]:
    """Return the technologies by key; the last one is that of the held-out query."""
    known = (
        Technology("merfish", "MERFISH-like", 500, False, 320, 4, 0.30, 0.4, 0.10, 0.0, "cell"),
        Technology("starmap", "STARmap-like", 1022, False, 260, 2, 0.40, 0.5, 0.15, 0.02, "cell"),
        Technology("xenium", "Xenium-like", 247, False, 170, 4, 0.30, 0.4, 0.10, 0.0, "cell"),
        Technology("iss", "ISS-like", 100, False, 30, 2, 0.45, 0.5, 0.20, 0.05, "cell"),
        Technology("visium", "Visium-like", 2000, True, 4500, 4, 0.30, 0.4, 0.10, 0.0, "spot"),
        Technology("slideseq", "Slide-seq-like", 2000, True, 130, 1, 0.50, 0.5, 0.15, 0.1, "bead"),
        Technology("seqfish", "seqFISH-like", 350, False, 240, 3, 0.35, 0.5, 0.20, 0.02, "cell"),
    )
    return {technology.key: technology for technology in known}


def limited(technology: Technology, genes: int, most: int | None) -> Technology:
    """Return a technology that measures at most ``most`` of the genes; None: no limit."""
    if most is None or not technology.is_open or technology.panel * genes <= 3000 * most:
        return technology
    return technology._replace(panel=3000 * most // genes)


def panel(technology: Technology, symbols: tuple[str, ...], seed: int) -> tuple[str, ...]:
    """Return the genes that a technology measures, in the order of the atlas.

    All panels hold the bridge genes. Of the rest, targeted panels prefer markers, as real ones do;
    each technology has its own choice.
    """
    wanted = technology.panel * len(symbols) / 3000
    size = math.ceil(wanted if technology.is_open else min(wanted, technology.panel))
    size = min(max(size, len(BRIDGE)), len(symbols))
    rng = np.random.default_rng([seed, 103, zlib.crc32(technology.key.encode())])
    rank = rng.random(len(symbols))
    invented = np.array([symbol.startswith("Sim") for symbol in symbols])
    if not technology.is_open:
        rank += 0.6 * invented
    rank[: len(BRIDGE)] = -1.0
    chosen = np.sort(np.argsort(rank, kind="stable")[:size])
    return tuple(symbols[i] for i in chosen)
