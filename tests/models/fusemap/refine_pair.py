"""Refine in several processes and keep what each ended with; started by a test.

torchrun --nproc-per-node 2 -m tests.models.fusemap.refine_pair FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from backend.core.job import RunContext
from backend.models.common.factors import FactorFit
from backend.models.common.prep import gene_index, prepare, union_of_genes
from backend.models.fusemap.parity.team import join_team, leave_team
from backend.models.fusemap.references import make_references
from backend.models.fusemap.refine import train_refiner
from backend.models.fusemap.refining import refine_sections
from backend.models.fusemap.space import fit_space
from tests.models.simulated import simulate


def main(folder: Path) -> None:
    """Train a few steps and save the weights of this process."""
    torch.set_num_threads(1)
    sections = simulate(n_cells=200).sections[:2]
    genes = union_of_genes(sections)
    prepared = [prepare(s, gene_index(genes)) for s in sections]
    names = [(s.id, s.dataset) for s in sections]
    references = make_references(names, prepared, [s.xy for s in sections], len(genes))
    space = fit_space(references, len(genes), FactorFit(4, 5), RunContext())
    team = join_team("cpu")
    found = train_refiner(refine_sections(space, references), RunContext(seed=1), steps=6)
    np.savez(folder / f"rank{team.rank}.npz", *found.weights)
    leave_team(team)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
