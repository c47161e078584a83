"""Train a FuseMap checkpoint on an atlas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from backend.core.errors import OutOfMemory, StoreExists
from backend.core.job import RunContext
from backend.models.common.checkpoint import Checkpoint, save_checkpoint
from backend.models.fusemap.parity.team import join_team, leave_team
from backend.models.fusemap.train import TrainParams, train
from backend.runs.sections import load_measured, use_one_thread
from backend.store.atlas import Atlas


def train_fusemap(
    atlas_path: Path | str,
    out: Path | str,
    params: TrainParams | None = None,
    ctx: RunContext | None = None,
    *,
    leave_out: tuple[str, ...] = (),
    replace: bool = False,
) -> Checkpoint:
    """Train on all sections of an atlas that have expression, and write the checkpoint.

    Under ``torchrun`` the processes share the batches of the refinement; each makes the rest, which
    has no random part, by itself, and the first one writes.

    Parameters
    ----------
    atlas_path, out : Path
        ``out`` is a folder; an unfinished fit is kept beside it and gone on from.
    params : TrainParams, optional
    ctx : RunContext, optional
    leave_out : tuple of str
        Sections that the training must not see.
    replace : bool
        Whether an existing checkpoint may be replaced.

    Raises
    ------
    StoreExists, BadStore, TooFewCells, UnknownSection, Diverged, OutOfMemory, Cancelled
    """
    ctx = ctx or RunContext()
    target = Path(out)
    if target.exists() and any(target.iterdir()) and not replace:
        raise StoreExists(f"{target} exists.", "Choose another folder, or delete it first.")
    use_one_thread()
    atlas = Atlas.open(atlas_path)
    unseen = {atlas.section(name).id for name in leave_out}
    sections = [s for s in load_measured(atlas, ctx.part(0, 0.05)) if s.id not in unseen]
    licences = {info.id: info.licence for info in atlas.sections()}
    team = join_team(ctx.device)
    state = target.with_name(f"{target.name}.partial") if team.leads else None
    with _memory_advised():
        made = train(sections, params or TrainParams(), ctx.part(0.05, 0.98), state, licences)
    leave_team(team)
    ctx.step(0.98, "Writing the checkpoint")
    if not team.leads:
        return made
    card = {**made.card, "atlas": _atlas_card(atlas)}
    saved = save_checkpoint(target, Checkpoint(card, made.tensors), replace=replace)
    ctx.report(1.0, "Trained")
    return saved


@contextmanager
def _memory_advised() -> Iterator[None]:
    """Say what to do where memory ran out; an error that says so itself passes."""
    try:
        yield
    except OutOfMemory:
        raise
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise OutOfMemory(
            "The training does not fit into memory.",
            "Let the fit see a smaller batch of each section: --cells-per-section 20000, or less.",
        ) from error


def _atlas_card(atlas: Atlas) -> dict[str, Any]:
    """Say which atlas a checkpoint was trained on."""
    return {"name": atlas.name, "version": atlas.version, "simulated": atlas.simulated}
