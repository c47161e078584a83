"""Sections of an atlas as models take them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.store.atlas import Atlas
from backend.store.genes import GeneTable


def use_one_thread() -> None:
    """Keep torch to one thread: several runs and the web process share the machine."""
    torch.set_num_threads(1)


def load_measured(atlas: Atlas, ctx: RunContext) -> list[SectionData]:
    """Return all sections that have expression, in storage order."""
    infos = [info for info in atlas.sections() if info.n_genes]
    out = []
    for i, info in enumerate(infos):
        ctx.step(i / len(infos), f"Loading {info.title}")
        out.append(atlas.load(info.id))
    return out


def with_atlas_symbols(section: SectionData, genes: GeneTable) -> SectionData:
    """Return ``section`` with gene names as the atlas spells them.

    Ensembl ids, with or without version, become symbols where the atlas knows them; where two
    columns would get one name, the later keeps its own.
    """
    names: list[str] = []
    taken: set[str] = set()
    for gene in section.genes:
        known = next((n for n in (gene, gene.split(".")[0]) if n in genes), None)
        name = genes.symbol[genes.index(known)] if known else gene
        name = gene if name.casefold() in taken else name
        taken.add(name.casefold())
        names.append(name)
    return replace(section, genes=tuple(names))


def checkpoint_name(path: Path) -> str:
    """Return the name under which an atlas records a checkpoint."""
    return Path(path).resolve().name
