"""Fit planted sections in one of several processes; the first writes the result.

torchrun --nproc-per-node 2 -m tests.models.fusemap.parity.pair OUT.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from backend.core.job import RunContext
from backend.models.fusemap.parity.settings import Settings
from backend.models.fusemap.parity.team import join_team, leave_team
from backend.models.fusemap.parity.train import fit
from tests.models.fusemap.parity.planted import planted

SHORT = Settings(latent=8, hidden=32, adversary=16, batch=32, epochs=1)


def main(out: Path) -> None:
    """Fit three sections and write their embeddings."""
    torch.set_num_threads(1)
    team = join_team("cpu")
    sections, _ = planted(sections=3)
    fitted = fit(sections, SHORT, RunContext(seed=3), team=team)
    if team.leads:
        cells = {f"cell{v}": s.cell for v, s in enumerate(fitted.sections)}
        np.savez(out, genes=fitted.gene_embedding, **cells)
    leave_team(team)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
