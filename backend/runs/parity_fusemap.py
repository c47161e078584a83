"""FuseMap's published procedure beside the figures of the reference, on three simulated sections.

The reference figures are those of one run of the authors' program (defaults, seed 0, CPU): batch
64, 15 + 15 epochs. Seeds alone move metrics by several hundredths, so they are compared with
tolerances as wide as three of our own seeds lie apart; the golden values, lambda, the baseline and
the scale of the decoder are the sharp tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.core.job import RunContext
from backend.core.parity import ParityReport, ParityRow, metric, report
from backend.models.common.agreement import cluster_ari, cross_section_accuracy, gene_r, mixing
from backend.models.common.baselines import knn_values, principal_components
from backend.models.fusemap.parity.golden import golden_rows
from backend.models.fusemap.parity.outputs import Fitted, batch_rebuilt, impute, rebuilt
from backend.models.fusemap.parity.prepare import Measured, processed
from backend.models.fusemap.parity.settings import Settings
from backend.models.fusemap.parity.train import fit
from backend.runs.fixture import read_arrays
from backend.runs.threesections import (
    N_GENES,
    Simulated,
    full_counts,
    hidden_genes,
    read_threesections,
    true_scores,
)

Floats = NDArray[np.floating]

#: Reference figures and how far a metric of another seed may lie from them.
REFERENCE: dict[str, tuple[float, float]] = {
    "lambda after the first batch": (1.444, 0.15),
    "type ARI, k-means on z_C": (0.369, 0.12),
    "region ARI, k-means on z_T": (0.808, 0.15),
    "cross-section kNN accuracy of types, z_C": (0.589, 0.12),
    "mixing of sections, z_C": (0.567, 0.15),
    "mixing of sections, z_T": (0.445, 0.15),
    "imputation r, section 0": (0.181, 0.07),
    "imputation r, section 1": (0.142, 0.07),
    "imputation r, section 2": (0.159, 0.07),
    "r with the true log rate, section 0": (0.382, 0.16),
    "r with the true log rate, section 1": (0.338, 0.16),
    "r with the true log rate, section 2": (0.353, 0.16),
    "kNN-50 baseline r, section 0": (0.349, 0.01),
    "kNN-50 baseline r, section 1": (0.301, 0.01),
    "kNN-50 baseline r, section 2": (0.367, 0.01),
    "mean of processed X, section 0": (0.817, 0.005),
    "rebuilt on the whole graph, mean, section 0": (4.84, 1.5),
    "rebuilt from a batch of 64 seeds, mean, section 0": (0.74, 0.1),
    "rebuilt from a batch of 64 seeds, MSE, section 0": (1.01, 0.15),
}


@dataclass(frozen=True, slots=True)
class Integration:
    """What a method gives for the three sections.

    cell, niche : (n, k) embeddings per section
    imputed : (n, hidden genes of the section) per section
    """

    cell: Sequence[Floats]
    niche: Sequence[Floats]
    imputed: Sequence[Floats]


def check_fusemap(path: Path, ctx: RunContext, epochs: int | None = None) -> ParityReport:
    """Return golden values, then a training on the three sections, beside the reference.

    Parameters
    ----------
    path : Path
        ``threesections_truth.npz``, with threesections_s0.h5ad to s2 beside it.
    ctx : RunContext
    epochs : int or None
        Of each training phase; the published 15 where None.

    Raises
    ------
    BadFile, TooLarge, Diverged, OutOfMemory
    """
    sections = read_threesections(path)
    rows = list(golden_rows())
    settings = Settings() if epochs is None else Settings(epochs=epochs)
    fitted = fit([measured(s) for s in sections], settings, ctx)
    found = {
        "lambda after the first batch": fitted.weight,
        **scores(sections, integration_of(fitted, sections)),
        **_log_rate(path, sections, fitted),
        **{f"kNN-50 baseline {k}": v for k, v in imputation_r(sections, knn_50(sections)).items()},
        **_scale(fitted, settings),
    }
    rows += list(_compared(found))
    notes = [f"Trained with seed {ctx.seed}: {_lengths(fitted)}. The reference is one seed."]
    if epochs is not None:
        notes.append(f"--epochs {epochs}, not the published {Settings().epochs}: expect misses.")
    return report("fusemap", path.name, rows, *notes, *filter(None, [fitted.ended]))


def measured(section: Simulated) -> Measured:
    """Return a simulated section as the published procedure takes it."""
    data = section.data
    return Measured(data.counts, data.genes, data.xy, data.id)


def integration_of(fitted: Fitted, sections: Sequence[Simulated]) -> Integration:
    """Return embeddings and imputed hidden genes of a published training."""
    hidden = [[f"GENE{g:03d}" for g in hidden_genes(s)] for s in sections]
    return Integration(
        [s.cell for s in fitted.sections],
        [s.niche for s in fitted.sections],
        [impute(fitted, v, genes) for v, genes in enumerate(hidden)],
    )


def scores(sections: Sequence[Simulated], found: Integration) -> dict[str, float]:
    """Return the figures of one integration, by the names of ``REFERENCE``."""
    types, regions = (
        np.concatenate([getattr(s, name) for s in sections]) for name in ("types", "regions")
    )
    origin = np.repeat(np.arange(len(sections)), [len(s.types) for s in sections])
    cell, niche = np.concatenate(found.cell), np.concatenate(found.niche)
    return {
        "type ARI, k-means on z_C": cluster_ari(cell, types),
        "region ARI, k-means on z_T": cluster_ari(niche, regions),
        "cross-section kNN accuracy of types, z_C": cross_section_accuracy(cell, types, origin),
        "mixing of sections, z_C": mixing(cell, origin),
        "mixing of sections, z_T": mixing(niche, origin),
        **{f"imputation {k}": v for k, v in imputation_r(sections, found.imputed).items()},
    }


def knn_50(sections: Sequence[Simulated]) -> list[Floats]:
    """Return the baseline: means over 50 neighbours in 20 components of the shared genes."""
    spaces = shared_components(sections)
    out: list[Floats] = []
    for v, s in enumerate(sections):
        guess = np.zeros((len(s.types), N_GENES))
        for w, source in enumerate(sections):
            if w != v:
                values = panel_values(source, source.panel)
                guess[:, source.panel] = knn_values(spaces[w], values, spaces[v])
        out.append(guess[:, hidden_genes(s)])
    return out


def shared_components(sections: Sequence[Simulated]) -> list[NDArray[np.float64]]:
    """Return 20 components of the genes that all sections measure, (n, 20) per section."""
    shared = np.array(sorted(set.intersection(*[set(s.panel.tolist()) for s in sections])))
    return np.split(
        principal_components(np.concatenate([_standard(_shared(s, shared)) for s in sections])),
        len(sections),
    )


def panel_values(section: Simulated, genes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return processed expression (n, genes) of genes that the section measured."""
    place = {int(g): j for j, g in enumerate(section.panel)}
    x = processed(section.data.counts).toarray()
    return np.asarray(x[:, [place[int(g)] for g in genes]], dtype=np.float64)


def _shared(section: Simulated, genes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return processed expression of the shared genes alone, by their own totals."""
    return np.asarray(processed(full_counts(section)[:, genes]).toarray(), dtype=np.float64)


def _standard(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((x - x.mean(axis=0)) / x.std(axis=0))


def imputation_r(sections: Sequence[Simulated], imputed: Sequence[Floats]) -> dict[str, float]:
    """Mean r over the hidden genes of every section, against the counts it would have shown."""
    out = {}
    for v, (s, guess) in enumerate(zip(sections, imputed, strict=True)):
        hidden = hidden_genes(s)
        truth = processed(full_counts(s)).toarray()[:, hidden]
        out[f"r, section {v}"] = float(gene_r(guess, truth).mean())
    return out


def _log_rate(path: Path, sections: Sequence[Simulated], fitted: Fitted) -> dict[str, float]:
    """Mean r with the true log rate, over the hidden genes whose rate varies."""
    truth = read_arrays(path, ["base", "TE", "RE"])
    found = integration_of(fitted, sections).imputed
    out = {}
    for v, (s, guess) in enumerate(zip(sections, found, strict=True)):
        rates = true_scores(truth, s)[:, hidden_genes(s)]
        varies = rates.std(axis=0) > 0
        r = gene_r(guess[:, varies], rates[:, varies])
        out[f"r with the true log rate, section {v}"] = float(r.mean())
    return out


def _scale(fitted: Fitted, settings: Settings) -> dict[str, float]:
    """How far the decoder is from the scale of the data, on the whole graph and in a batch."""
    first = fitted.sections[0]
    x = first.x.toarray()
    hat, rows = batch_rebuilt(fitted, 0, settings.batch, seed=0)
    whole = rebuilt(fitted, 0, first.genes)
    return {
        "mean of processed X, section 0": float(x.mean()),
        "rebuilt on the whole graph, mean, section 0": float(whole.mean()),
        "rebuilt from a batch of 64 seeds, mean, section 0": float(hat.mean()),
        "rebuilt from a batch of 64 seeds, MSE, section 0": float(np.mean((hat - x[rows]) ** 2)),
    }


def _compared(found: dict[str, float]) -> Iterator[ParityRow]:
    for name, value in found.items():
        reference, tolerance = REFERENCE[name]
        yield metric(name, value, reference, tolerance)


def _lengths(fitted: Fitted) -> str:
    phases = [int(h["phase"]) for h in fitted.history]
    return " + ".join(str(phases.count(p)) for p in (1, 2)) + " epochs"
