"""INSPIRE as published, arrays in, arrays out: networks, critics and factors in one training.

Zhao J. et al., Interpretable, flexible and spatially aware integration of multiple spatial
transcriptomics datasets from diverse sources, Nat Genet 58, 1138 (2026). Every step:

    1. all terms from one forward pass                              network.py
    2. the critics learn from the embeddings, Adam                  losses.py, (1)
    3. the network learns from the critics as they are now, Adamax  losses.py, (2) to (6)

    L = L_FE + L_REC + 0.02 L_GEO + L_B + L_G

How to call it::

    from backend.models.inspire.parity.settings import Preparing, Settings
    from backend.models.inspire.parity.train import fit

    fitted = fit(sections, Settings(factors=20), Preparing(radius=20.0), RunContext(seed=1234))
    section = fitted.sections[0]            # .cells: rows that the published filters keep
    section.z, section.proportions          # (m, 32) and (m, 20) of those rows
    fitted.programs, fitted.genes           # (20, g), rows sum to 1

The first section is the anchor of the chain of critics: put the most complete one first.

Deviations
----------
- The critics learn from detached embeddings. The authors let gradients run back into the encoder
  and erase them: the same numbers, more work.
- The mean proportion divides by the number of cells; by four batches always, as published, with
  ``Settings.published_divisor``. The loss differs by 4 K log(4 / sections), a constant but for the
  floor of 1e-6.
- The doubled weights that one published class uses above ten sections are left to ``Settings``.
- The authors' option to record the final losses ends in an error there; here every hundredth step
  is recorded.
- Random numbers are drawn in another order than theirs, so values differ and metrics compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.core.data import SectionData
from backend.core.errors import Diverged, OutOfMemory
from backend.core.job import RunContext
from backend.models.inspire.parity.batches import Batch, Source, batches, source
from backend.models.inspire.parity.losses import (
    adversary_loss,
    critics_loss,
    dirichlet_loss,
    geometry_loss,
    likelihood_loss,
    rebuilt_loss,
)
from backend.models.inspire.parity.network import Critics, Network, Seen
from backend.models.inspire.parity.outputs import Fitted, fitted_of
from backend.models.inspire.parity.prepare import Published, published
from backend.models.inspire.parity.settings import (
    PUBLISHED_SECTIONS,
    REFERENCE_CELLS,
    Preparing,
    Settings,
)

#: Steps between those whose losses are kept.
RECORDED = 100


@dataclass(slots=True)
class Training:
    """Networks with their optimisers."""

    network: Network
    critics: Critics
    settings: Settings
    network_optimiser: torch.optim.Optimizer
    critics_optimiser: torch.optim.Optimizer


def fit(
    sections: Sequence[SectionData], settings: Settings, how: Preparing, ctx: RunContext
) -> Fitted:
    """Return sections integrated as published.

    Parameters
    ----------
    sections : sequence of SectionData
        Two or more, of raw counts.
    settings : Settings
    how : Preparing
    ctx : RunContext
        Seed and device; told of every hundredth step, asked whether to stop.

    Raises
    ------
    BadRequest, BadFile, NoSharedGenes, Cancelled
    Diverged
        If a loss is not finite.
    OutOfMemory
    """
    prepared, genes = published(sections, how)
    try:
        return fit_prepared(prepared, genes, settings, ctx)
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise OutOfMemory(
            f"Memory ran out with {sum(p.n_cells for p in prepared):,} cells.",
            "Use the linear encoder, a smaller batch, or the default mode.",
        ) from error


def fit_prepared(
    prepared: Sequence[Published], genes: tuple[str, ...], settings: Settings, ctx: RunContext
) -> Fitted:
    """Return prepared sections integrated."""
    data = source(prepared, settings)
    t = start(len(prepared), len(genes), settings, ctx)
    history = _train(t, data, ctx)
    return fitted_of(t.network, data, genes, settings, history, ctx.device)


def start(n_sections: int, n_genes: int, settings: Settings, ctx: RunContext) -> Training:
    """Return networks as drawn, with new optimisers."""
    network = Network(n_genes, n_sections, settings, ctx.seed).to(ctx.device)
    critics = Critics(n_sections, settings, ctx.seed + 1).to(ctx.device)
    rate, decay = settings.learning_rate, settings.weight_decay
    return Training(
        network,
        critics,
        settings,
        torch.optim.Adamax(network.parameters(), lr=rate, weight_decay=decay),
        torch.optim.Adam(critics.parameters(), lr=rate, weight_decay=decay),
    )


def _train(t: Training, data: Source, ctx: RunContext) -> tuple[dict[str, float], ...]:
    """Take all steps; return the losses of every hundredth."""
    history = []
    steps = t.settings.steps
    for number, batch in zip(range(steps), batches(data, t.settings, ctx.seed, ctx.device),
                             strict=False):  # fmt: skip
        losses = take_step(t, batch, number)
        if number % RECORDED == 0 or number == steps - 1:
            history.append({"step": float(number), **_finite(losses, number)})
            ctx.step((number + 1) / steps, f"Training, step {number + 1:,} of {steps:,}")
    return tuple(history)


def take_step(t: Training, batch: Batch, number: int) -> dict[str, Tensor]:
    """Move the critics, then the network; return the terms before the move."""
    margin = t.settings.margin_at(number)
    seen: Seen = t.network(batch.features, batch.section, batch.edges)
    z = seen.z.split(batch.sizes)
    t.critics.requires_grad_(True)
    critics = critics_loss(t.critics, z, margin)
    _move(t.critics_optimiser, critics)
    t.critics.requires_grad_(False)
    terms = network_terms(seen, batch, t.settings)
    terms["L_G"] = adversary_loss(t.critics, z, margin)
    total = weighted(terms, t.settings)
    _move(t.network_optimiser, total)
    return {"L_D": critics.detach(), "total": total.detach(),
            **{name: term.detach() for name, term in terms.items()}}  # fmt: skip


def network_terms(seen: Seen, batch: Batch, settings: Settings) -> dict[str, Tensor]:
    """Return the terms that need no critic."""
    sizes = batch.sizes
    rebuilt = zip(batch.x.split(sizes), seen.rebuilt.split(sizes), strict=True)
    counted = zip(batch.counts.split(sizes), batch.library.split(sizes),
                  seen.log_rate.split(sizes), strict=True)  # fmt: skip
    places = zip(seen.z.split(sizes), batch.units, batch.fixed, strict=True)
    # As published the sum runs over the cells of a section; the mean, of 2,048 cells.
    scaled = settings.geometry_scale == "mean"
    share = [REFERENCE_CELLS / n if scaled else 1.0 for n in sizes]
    geometry = [w * geometry_loss(*p) for w, p in zip(share, places, strict=True)]
    return {
        "L_FE": torch.stack([rebuilt_loss(*pair) for pair in rebuilt]).sum(),
        "L_REC": torch.stack([likelihood_loss(*three) for three in counted]).sum(),
        "L_GEO": torch.stack(geometry).sum(),
        "L_B": dirichlet_loss(seen.beta.sum(dim=0), _divisor(sizes, settings)),
    }


def _divisor(sizes: Sequence[int], settings: Settings) -> float:
    """Cells that the sum of proportions is divided by."""
    if settings.published_divisor and settings.encoder == "linear":
        return float(PUBLISHED_SECTIONS * sizes[0])
    return float(sum(sizes))


def weighted(terms: dict[str, Tensor], settings: Settings) -> Tensor:
    """Return the sum of all terms with their weights."""
    return (
        settings.rebuilt * terms["L_FE"]
        + settings.likelihood * terms["L_REC"]
        + settings.geometry * terms["L_GEO"]
        + settings.dirichlet * terms["L_B"]
        + settings.adversary * terms["L_G"]
    )


def _move(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def _finite(losses: dict[str, Tensor], number: int) -> dict[str, float]:
    found = {name: float(term) for name, term in losses.items()}
    if not all(torch.isfinite(term) for term in losses.values()):
        raise Diverged(
            f"The training stopped being finite at step {number + 1:,}: {found}.",
            "Check for cells with extreme counts, or lower the learning rate.",
        )
    return found
