"""FuseMap as published, arrays in, arrays out: train, balance, train again, embed.

He et al. 2024, Methods, "Training procedure":

    1. train without balance weights            settings.pretrain
    2. embed all cells
    3. balance weights from their clusters      balance.py
    4. train on from the best of 1, weighted    settings.final, new optimisers, noise goes on fading
    5. embed all cells

A phase of "16 epochs" is epochs 1 to 15. From epoch 11 on, the validation loss drives the learning
rate, early stopping, and which network is kept.

How to call it, for a table with a row of the published method::

    from backend.models.fusemap.parity.outputs import impute
    from backend.models.fusemap.parity.prepare import Measured
    from backend.models.fusemap.parity.settings import Settings
    from backend.models.fusemap.parity.train import fit

    fitted = fit([Measured(counts, genes, xy, name), ...], Settings(), RunContext(seed=0))
    section = fitted.sections[0]       # .cells: rows that the published filters keep
    section.cell, section.niche        # (m, 64) embeddings of those rows
    impute(fitted, 0, ["Slc17a7"])     # (m, 1); only correlations make sense

A query section maps into a training by ``mapping.map_query``; ``transfer.transfer`` carries labels
from embeddings to embeddings. Counts are raw (m, g) csr matrices; leave a gene's column out to hide
it. Three sections of 1,500 cells take about three minutes on one core.

Deviations
----------
- Sections are taken in the order given; the authors' order is that of a folder listing.
- Nothing is read back from an earlier run unless it has the same data, settings and seed.
- Every number is a setting of its own. In the authors' configuration settings of equal value are
  one and the same, so that changing the batch also changes the width of the embedding.
- A loss that is not finite ends the training with the last epoch that was.
- The learned dense graph for dissociated cells, and gene embeddings from text, are left out: no
  published result uses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.core.errors import BadRequest, Diverged, OutOfMemory
from backend.core.job import RunContext
from backend.models.fusemap.parity.balance import cluster_weights
from backend.models.fusemap.parity.clusters import communities
from backend.models.fusemap.parity.network import Network
from backend.models.fusemap.parity.outputs import Fitted, embedded, fitted_of
from backend.models.fusemap.parity.prepare import Measured, Published, published, union
from backend.models.fusemap.parity.saved import load_state, mark_of, save_state
from backend.models.fusemap.parity.schedule import Progress, after, is_over
from backend.models.fusemap.parity.settings import Settings
from backend.models.fusemap.parity.steps import Own
from backend.models.fusemap.parity.streams import Draw, number, stream
from backend.models.fusemap.parity.team import Team
from backend.models.fusemap.parity.training import (
    PHASES,
    Training,
    optimisers,
    run_epoch,
    set_rate,
    validation_loss,
)


def fit(
    sections: Sequence[Measured],
    settings: Settings,
    ctx: RunContext,
    folder: Path | None = None,
    team: Team | None = None,
) -> Fitted:
    """Return sections integrated as published.

    Parameters
    ----------
    sections : sequence of Measured
        At least two.
    settings : Settings
    ctx : RunContext
        Seed and device; told of every step, asked whether to stop.
    folder : Path or None
        Where to keep the state after every epoch; the same training goes on from it.
    team : Team or None
        The processes that share the work; every one calls this with the same arguments and
        receives the same result.

    Raises
    ------
    BadRequest, TooFewCells, Cancelled
    Diverged
        If a loss is not finite in the first epoch; later, the last good epoch is kept and
        ``Fitted.ended`` says so.
    OutOfMemory
        Advising a smaller batch.
    """
    if len(sections) < 2:
        raise BadRequest("The published procedure integrates sections; one was given.", "Add one.")
    prepared = [published(s) for s in sections]
    genes = union(prepared)
    t = _start(prepared, genes, settings, ctx, team or Team())
    try:
        _train(t, genes, ctx, folder)
        return fitted_of(t, prepared, [s.name for s in sections], genes)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"Memory ran out with {settings.batch} seed cells per section and step.",
            "Use a smaller batch, fewer sections, or more processes (torchrun).",
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    """Tell want of memory from other faults: torch has no class for it on a CPU."""
    known = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, known) or "can't allocate memory" in str(error)


def _start(
    prepared: Sequence[Published], genes: tuple[str, ...], settings: Settings, ctx: RunContext,
    team: Team,
) -> Training:  # fmt: skip
    """Everything before the first step."""
    place = {gene: i for i, gene in enumerate(genes)}
    panels = [torch.tensor([place[g] for g in p.genes]) for p in prepared]
    own = [
        _own(v, prepared[v], panels[v].to(ctx.device), settings, ctx.seed)
        for v in team.own(len(prepared))
    ]
    network = Network(panels, len(genes), [o.section for o in own], settings, ctx.seed)
    network.to(ctx.device)
    adversary, autoencoder = optimisers(network, settings)
    sizes = [p.n_cells for p in prepared]
    progress = Progress(settings.learning_rate)
    return Training(
        network, settings, team, ctx.device, ctx.seed, own, sizes, adversary, autoencoder, progress
    )


def _own(section: int, data: Published, panel: Tensor, settings: Settings, seed: int) -> Own:
    """Set cells apart for validation; all weights are 1."""
    n = data.n_cells
    order = torch.randperm(n, generator=stream(seed, Draw.SPLIT, section)).numpy()
    train = np.ones(n, dtype=bool)
    train[order[: int(settings.validation * n)]] = False
    ones = np.ones(n, dtype=np.float32)
    return Own(section, data, panel, train, ones, ones)


def _train(t: Training, genes: tuple[str, ...], ctx: RunContext, folder: Path | None) -> None:
    """Go through both phases, from where a saved state ends."""
    mark = mark_of(t, genes) if folder else ""
    if folder and load_state(folder, t, mark):
        set_rate(t, t.progress.rate)
    while not t.ended:
        _train_phase(t, ctx, folder, mark)
        if t.best is not None:
            t.network.load_state_dict(t.best)
        if t.phase == PHASES or t.ended:
            return
        _balance(t)
        t.phase, t.epoch, t.best = t.phase + 1, 0, None
        t.progress = Progress(t.settings.learning_rate)
        t.adversary, t.autoencoder = optimisers(t.network, t.settings)


def _train_phase(t: Training, ctx: RunContext, folder: Path | None, mark: str) -> None:
    """Train until the phase is over; keep the network of the last good epoch."""
    phase = t.settings.pretrain if t.phase == 1 else t.settings.final
    while t.epoch < t.settings.epochs and not is_over(t.progress, phase, t.settings):
        before = _copied(t.network)
        try:
            losses = run_epoch(t, ctx)
        except Diverged as error:
            if not t.done:
                raise
            t.network.load_state_dict(before)
            t.ended = f"{error.message} The last epoch before it was kept."
            return
        t.epoch, t.done = t.epoch + 1, t.done + 1
        t.history.append({"phase": t.phase, "epoch": t.epoch, **losses, **_validated(t)})
        if folder:
            save_state(folder, t, mark)


def _validated(t: Training) -> dict[str, float]:
    """Let the validation loss move the learning rate and choose the network to keep."""
    if not t.settings.early_stopping or t.epoch <= t.settings.validate_after:
        return {"rate": t.progress.rate}
    phase = t.settings.pretrain if t.phase == 1 else t.settings.final
    loss = validation_loss(t)
    if loss < t.progress.best:
        t.best = _copied(t.network)
    t.progress = after(t.progress, loss, phase)
    set_rate(t, t.progress.rate)
    return {"validation": loss, "rate": t.progress.rate}


def _balance(t: Training) -> None:
    """Give every cell its balance weights, one for cells and one for niches."""
    z = {o.section: embedded(t.network, o.section, o.data, t.device) for o in t.own}
    weights = [_weights(t, {v: pair[i] for v, pair in z.items()}, i) for i in (0, 1)]
    t.own = [
        replace(o, cell_weight=weights[0][o.section], niche_weight=weights[1][o.section])
        for o in t.own
    ]


def _weights(
    t: Training, z: dict[int, NDArray[np.float32]], kind: int
) -> dict[int, NDArray[np.float32]]:
    """Balance weights of the cells of one's own sections, from the clusters of all."""
    seeds = {v: number(t.seed, Draw.CLUSTERS, v, kind) for v in z}
    codes = {v: communities(z[v], seeds[v]) for v in z}
    tables = [
        t.team.shown(v, _summary(z[v], codes[v], t.device) if v in z else None)
        for v in range(len(t.sizes))
    ]
    whole = [table.cpu().numpy().astype(np.float64) for table in tables]
    found = cluster_weights([w[:, :-1] for w in whole], [w[:, -1] for w in whole], t.settings)
    return {v: found[v][codes[v]].astype(np.float32) for v in z}


def _summary(z: NDArray[np.float32], codes: NDArray[np.int64], device: str) -> Tensor:
    """(c, k + 1): mean embedding and number of cells of every cluster."""
    rows = [np.append(z[codes == c].mean(axis=0), (codes == c).sum()) for c in np.unique(codes)]
    return torch.from_numpy(np.array(rows, dtype=np.float32)).to(device)


def _copied(network: Network) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
