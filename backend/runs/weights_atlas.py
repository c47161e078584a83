"""A weighed multi-omics section as an atlas of its own, and the figures that its view shows."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, hstack

from backend.analysis.differential import differential
from backend.core.data import Column, Label, Modality, SectionData, TaskResult, units_of
from backend.core.layers import LayerKey
from backend.runs.tables import beside, safe_text
from backend.store.atlas import Atlas
from backend.store.write import AtlasWriter, plan_of, write_result

#: Bins of the distribution of a weight over the spots of a domain.
BINS = 30
#: Features listed per domain and modality.
LISTED = 12
#: Units by kind of layer.
UNITS = {"weight": "share of the evidence", "confidence": "probability"}
#: Kinds of modality whose values are counts, which can be shown as measured features.
COUNTED = ("rna", "protein", "atac")


def write_weights_atlas(path: Path, section: SectionData, result: TaskResult) -> Path:
    """Write a section with its domains, weights and baselines as layers.

    Parameters
    ----------
    path : Path
        Must not exist.
    section : SectionData
        With modalities; all counted features become measured layers.
    result : TaskResult
        Of ``integrate_modalities``.
    """
    counts, features = measured_features(section.modalities)
    columns = [c for c in result.columns if c.section == section.id]
    labels = {c.layer.name: Label(c.values, c.categories) for c in columns if c.categories}
    given = {n: label for n, label in section.labels.items() if n not in labels}
    numbers: dict[LayerKey, NDArray[np.float32]] = {
        _layer(c.layer): c.values for c in columns if not c.categories
    }
    whole = replace(
        section,
        counts=counts,
        genes=features,
        labels={**labels, **given},
        numbers=numbers,
        number_units={_layer(key): unit for key, unit in units_of(columns).items()},
        unit="counts" if features else "none",
    )
    provenance = asdict(result.provenance) if result.provenance else {}
    plan = [plan_of(whole, notes=("Weighed by modality.",))]
    writer = AtlasWriter(
        path, section.title, False, (features, [""] * len(features)), plan, provenance
    )
    writer.add(whole)
    writer.finish()
    _record_source(path, [_layer(c.layer) for c in columns], result)
    return path


def _record_source(path: Path, layers: Sequence[LayerKey], result: TaskResult) -> None:
    """Write the model's layers once more, in storage order, so that each says where it is from."""
    atlas = Atlas.open(path)
    info = atlas.sections()[0]
    columns = []
    for key in layers:
        if key.kind == "label":
            label = atlas.label(key.name)
            columns.append(Column(info.id, key, label.codes[info.rows], label.categories))
        else:
            values = atlas.number(key).values[info.rows]
            columns.append(Column(info.id, key, values, unit=UNITS.get(key.kind, "share of runs")))
    write_result(path, TaskResult(tuple(columns), provenance=result.provenance))


def _layer(key: LayerKey) -> LayerKey:
    """Return how a column is kept: a spread is no share, so it is a score and not a weight."""
    if key.kind == "weight" and key.name.endswith((".spread", ".within")):
        return LayerKey("score", key.name)
    return key


def measured_features(modalities: Sequence[Modality]) -> tuple[csr_matrix, tuple[str, ...]]:
    """Return all counted features side by side; names are unique whatever their case.

    Returns
    -------
    (n, p) csr_matrix, tuple of p str
        A name that an earlier modality has too is followed by its modality.
    """
    counted = [m for m in modalities if m.kind in COUNTED and m.features]
    taken: set[str] = set()
    names: list[str] = []
    for modality in counted:
        for feature in modality.features:
            name = feature
            tries = 1
            while name.casefold() in taken:
                more = f" {tries}" if tries > 1 else ""
                name, tries = f"{feature} ({modality.name}{more})", tries + 1
            taken.add(name.casefold())
            names.append(name)
    if not counted:
        n = len(modalities[0].present) if modalities else 0
        return csr_matrix((n, 0), dtype=np.float32), ()
    joined = hstack([csr_matrix(m.values) for m in counted], format="csr", dtype=np.float32)
    return csr_matrix(joined), tuple(names)


def distributions(
    weight: NDArray[np.float32], domains: NDArray[np.integer], k: int
) -> list[list[int]]:
    """Return how the weights of a modality spread over the spots of each domain.

    Parameters
    ----------
    weight : (n,) float32 in 0 .. 1
    domains : (n,) int, 0 .. k - 1
    k : int

    Returns
    -------
    k lists of ``BINS`` counts of spots; bins are of equal width from 0 to 1
    """
    edges = np.linspace(0, 1, BINS + 1)
    inside = [weight[(domains == code) & np.isfinite(weight)] for code in range(k)]
    return [np.histogram(np.clip(w, 0, 1), edges)[0].tolist() for w in inside]


def distinctive(
    modality: Modality, domains: NDArray[np.integer], k: int
) -> list[list[dict[str, Any]]]:
    """Return the features by which each domain stands out from all other spots.

    Parameters
    ----------
    modality : Modality
        Counted; spots that lack it are left out.
    domains : (n,) int, 0 .. k - 1
    k : int

    Returns
    -------
    k lists of {feature, mean, rest, effect, p}
        Mean of log1p counts scaled to the median depth, Cohen's d, and Welch's p adjusted over the
        features of this modality and domain; those above the rest, largest effect first.
    """
    rows = np.flatnonzero(modality.present)
    counts = csr_matrix(modality.values)[rows]
    depth = np.asarray(counts.sum(axis=1)).ravel()
    typical = float(np.median(depth[depth > 0])) if (depth > 0).any() else 1.0
    scaled = csr_matrix(diags(typical / np.maximum(depth, 1e-9)) @ counts)
    found = []
    for code in range(k):
        inside = domains[rows] == code
        table = differential(scaled[inside], scaled[~inside], modality.features)
        above = [d for d in table if d.effect > 0][:LISTED]
        found.append(
            [
                {
                    "feature": d.gene,
                    "mean": d.mean_a,
                    "rest": d.mean_b,
                    "effect": d.effect,
                    "p": d.p_adjusted,
                }
                for d in above
            ]
        )
    return found


def view_figures(section: SectionData, result: TaskResult) -> dict[str, Any]:
    """Return what the view shows beside the figures of the model: distributions and features."""
    columns = {c.layer: c for c in result.columns if c.section == section.id}
    domains = columns[LayerKey("label", "domain")].values
    k = int(result.figures["count"])
    names = [m.name for m in section.modalities]
    weights = {n: columns[LayerKey("weight", n)].values for n in names}
    return {
        "bins": BINS,
        "distributions": {n: distributions(w, domains, k) for n, w in weights.items()},
        "features": {
            m.name: distinctive(m, domains, k) for m in section.modalities if m.kind in COUNTED
        },
        "colours": [c.colour for c in columns[LayerKey("label", "domain")].categories],
        "domain_names": [c.name for c in columns[LayerKey("label", "domain")].categories],
        "baseline_labels": [
            key.name for key in columns if key.kind == "label" and key.name != "domain"
        ],
    }


#: Columns of the table of domains that a modality has.
PER_MODALITY = ("weight", "weight_spread", "bits", "attention", "within", "ablation", "energy")


def write_domain_table(path: Path, figures: Mapping[str, Any]) -> None:
    """Write one line per domain and modality as CSV: weight, its spread, bits and cross-checks.

    Parameters
    ----------
    path : Path
    figures : mapping
        Of the ``TaskResult`` of ``integrate_modalities``.
    """
    names = [m["name"] for m in figures["modalities"]]
    head = ("domain", "spots", "agreement", "moran", "modality", *PER_MODALITY)
    with beside(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for d in figures["domains"]:
            own = [d["name"], d["spots"], d["agreement"], d["moran"]]
            for name in names:
                writer.writerow([*own, safe_text(name), *(d[key][name] for key in PER_MODALITY)])
