"""Train FuseMap as published on an atlas, in one process or in several that torchrun started."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from backend.core.data import SectionData
from backend.core.errors import StoreExists, TooFewCells
from backend.core.job import RunContext
from backend.models.common.checkpoint import Checkpoint, save_checkpoint
from backend.models.fusemap.parity.outputs import Fitted
from backend.models.fusemap.parity.prepare import Measured
from backend.models.fusemap.parity.settings import Settings
from backend.models.fusemap.parity.team import Team, join_team, leave_team
from backend.models.fusemap.parity.train import fit
from backend.runs.sections import load_measured, use_one_thread
from backend.store.atlas import Atlas

#: Name of the model on the card, so that no command of the default mode takes it for its own.
MODEL, VERSION = "fusemap-parity", "1.0"


def train_published(
    atlas_path: Path | str,
    out: Path | str,
    settings: Settings | None = None,
    ctx: RunContext | None = None,
    *,
    leave_out: Sequence[str] = (),
    replace: bool = False,
) -> Checkpoint:
    """Train on all sections of an atlas that have expression, and write the checkpoint.

    Parameters
    ----------
    atlas_path, out : Path
        ``out`` is a folder; the state of an unfinished training is kept beside it.
    settings : Settings, optional
    ctx : RunContext, optional
    leave_out : sequence of str
        Sections that the training must not see.
    replace : bool
        Whether an existing checkpoint may be replaced.

    Raises
    ------
    StoreExists, BadStore, TooFewCells, UnknownSection, BadRequest, Diverged, OutOfMemory, Cancelled

    Notes
    -----
    Under torchrun every process calls this; the first one writes.
    """
    ctx, settings = ctx or RunContext(), settings or Settings()
    target = Path(out)
    if target.exists() and any(target.iterdir()) and not replace:
        raise StoreExists(f"{target} exists.", "Choose another folder, or delete it first.")
    use_one_thread()
    team = join_team(ctx.device)
    if not team.leads:  # one voice on stderr
        ctx = RunContext(seed=ctx.seed, device=ctx.device)
    try:
        return _trained(Atlas.open(atlas_path), target, settings, ctx, team, leave_out, replace)
    finally:
        leave_team(team)


def _trained(
    atlas: Atlas, target: Path, settings: Settings, ctx: RunContext, team: Team,
    leave_out: Sequence[str], replace: bool,
) -> Checkpoint:  # fmt: skip
    unseen = {atlas.section(name).id for name in leave_out}
    sections = [s for s in load_measured(atlas, ctx.part(0, 0.02)) if s.id not in unseen]
    if len(sections) < 2:
        raise TooFewCells(
            f"The published procedure needs two or more sections; {len(sections)} has expression.",
            "Build an atlas of more sections, or leave out fewer.",
        )
    given = [Measured(s.counts, s.genes, s.xy, s.title) for s in sections]
    state = target.with_name(f"{target.name}.partial")
    fitted = fit(given, settings, ctx.part(0.02, 0.98), state, team)
    licences = {info.id: info.licence for info in atlas.sections()}
    about = {"atlas": {"name": atlas.name, "version": atlas.version, "simulated": atlas.simulated}}
    card = {**_card(sections, fitted, settings, ctx.seed, licences), **about}
    team.wait()  # nobody writes to the state any more
    if not team.leads:
        return Checkpoint(card, fitted.tensors, target)
    shutil.rmtree(state, ignore_errors=True)
    saved = save_checkpoint(target, Checkpoint(card, fitted.tensors), replace=replace)
    ctx.report(1.0, "Trained")
    return saved


def _card(
    sections: Sequence[SectionData], fitted: Fitted, settings: Settings, seed: int,
    licences: dict[str, str],
) -> dict[str, Any]:  # fmt: skip
    """Say what a checkpoint was trained on and how it went."""
    last = fitted.history[-1] if fitted.history else {}
    return {
        "model": MODEL,
        "version": VERSION,
        "seed": seed,
        "genes": list(fitted.genes),
        "params": asdict(settings),
        "data": [
            {"section": s.id, "dataset": s.dataset, "cells": len(f.cells), "genes": list(f.genes)}
            for s, f in zip(sections, fitted.sections, strict=True)
        ],
        "licences": {s.id: licences.get(s.id, "") for s in sections},
        "metrics": {
            "lambda": fitted.weight,
            "epochs": len(fitted.history),
            **{k: v for k, v in last.items() if k in ("autoencoder", "adversary", "validation")},
            **({"ended": fitted.ended} if fitted.ended else {}),
        },
        "history": fitted.history,
        "torch": str(torch.__version__),
    }
