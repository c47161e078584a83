"""Figures of a run as JSON values: domains, stability, modalities, and what beats the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Modality
from backend.models.spatialglue.axes import Axes
from backend.models.spatialglue.ensemble import Ensemble
from backend.models.spatialglue.evidence import shares
from backend.models.spatialglue.partition import Partition
from backend.models.spatialglue.weights import Weights, domain_correlation, domain_means

#: A baseline is called better when one of its figures is above the model's by more than this.
BETTER = 0.005


def modality_figures(
    modalities: Sequence[Modality], axes: Sequence[Axes], widths: Sequence[int]
) -> list[dict[str, Any]]:
    """Return what is known of each modality."""
    return [
        {
            "name": m.name,
            "kind": m.kind,
            "features": len(m.features),
            "components": width,
            "spots": int(m.present.sum()),
            "missing": int((~m.present).sum()),
            "axes": a.count,
            "moran": [float(v) for v in a.moran],
            "null": a.null,
            "has_spatial_signal": a.count > 0,
        }
        for m, a, width in zip(modalities, axes, widths, strict=True)
    ]


def domain_figures(
    names: Sequence[str],
    partition: Partition,
    weights: Weights,
    across: NDArray[np.float32],
    within: NDArray[np.float32],
    energy: NDArray[np.float32],
    ablation: NDArray[np.float32],
    present: NDArray[np.bool_],
    moran: Sequence[float | None],
) -> list[dict[str, Any]]:
    """Return one entry per domain with means over its spots, spreads over seeds."""
    k = weights.by_domain.shape[1]
    labels = partition.labels
    means = {
        "weight": domain_means(weights.weight, labels, k, present),
        "weight_spread": weights.by_domain.std(axis=0),
        "bits": domain_means(weights.bits, labels, k, present),
        "attention": domain_means(across, labels, k, present),
        "within": domain_means(within, labels, k, present),
        "energy": domain_means(energy, labels, k, present),
        "ablation": domain_means(ablation, labels, k, present),
    }
    size = np.bincount(labels, minlength=k)

    def over(values: NDArray[np.float32], code: int) -> float | None:
        return float(values[labels == code].mean()) if size[code] else None

    return [
        {
            "name": domain_name(code),
            "spots": int(size[code]),
            "share": float(size[code] / len(labels)),
            "confidence": over(partition.confidence, code),
            "agreement": over(partition.agreement, code),
            "moran": moran[code] if code < len(moran) else None,
            **{name: _named(names, table[code]) for name, table in means.items()},
        }
        for code in range(k)
    ]


def domain_name(code: int) -> str:
    """Return the name of a domain; the largest is domain 1."""
    return f"domain {code + 1}"


def stability_figures(
    names: Sequence[str], partition: Partition, weights: Weights, seeds: int, starts: int
) -> dict[str, Any]:
    """Return how far seeds and starts agree on domains and weights."""
    correlation = domain_correlation(weights.by_domain)
    return {
        "seeds": seeds,
        "starts": starts,
        "pairwise_ari": partition.pairwise,
        "agreement": float(partition.agreement.mean()),
        "spearman_min": _named(names, _over(np.min, weights.spearman)),
        "spearman_median": _named(names, _over(np.median, weights.spearman)),
        "domain_correlation_min": _named(names, _over(np.min, correlation)),
        "domain_correlation_median": _named(names, _over(np.median, correlation)),
        "weight_spread": _named(names, weights.spread.mean(axis=0)),
    }


def better_baselines(
    model: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return where a baseline is better: by ARI and NMI where there is a truth, else by Moran."""
    keys = ("ari", "nmi") if "ari" in model else ("median_moran",)
    found = []
    for name, figures in baselines.items():
        for key in keys:
            own, other = model.get(key), figures.get(key)
            if own is not None and other is not None and other > own + BETTER:
                found.append({"baseline": name, "measure": key, "baseline_figure": other,
                              "model_figure": own})  # fmt: skip
    return found


def averaged(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean over seeds, (n, M)."""
    return np.asarray(values.mean(axis=0), np.float32)


def ablation_weights(ensemble: Ensemble, present: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return ablation as shares that sum to 1, (n, M); 0 where a modality is missing."""
    # A spot that no modality moves is shared out equally.
    return shares(averaged(ensemble.ablation) + 1e-9, present)


def _over(f: Any, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a statistic per column over rows that are numbers; nan where none is."""
    return np.array([f(c[np.isfinite(c)]) if np.isfinite(c).any() else np.nan for c in table.T])


def _named(names: Sequence[str], values: NDArray[np.floating]) -> dict[str, float | None]:
    """Values by modality, None for nan."""
    return {n: None if np.isnan(v) else float(v) for n, v in zip(names, values, strict=True)}
