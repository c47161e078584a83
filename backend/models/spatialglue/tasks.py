"""The verbs: join the modalities of a section into domains and weights; apply a trained model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Column, Matrix, Provenance, SectionData, TaskResult
from backend.core.errors import BadRequest, NoSpatialSignal, UnknownLayer, did_you_mean
from backend.core.job import RunContext
from backend.core.layers import Category, LayerKey
from backend.models.common.checkpoint import Checkpoint
from backend.models.spatialglue.baselines import run_baselines
from backend.models.spatialglue.card import CARD, HOW_TO_READ, ONE_MODALITY
from backend.models.spatialglue.checks import empty_as_missing, refuse_faults
from backend.models.spatialglue.domains import COLOURS, MOST, Suggestion, suggest_count
from backend.models.spatialglue.ensemble import Ensemble, embed
from backend.models.spatialglue.evidence import (
    energy_weights,
    evidence_bits,
    signal_energy,
    weights_of,
)
from backend.models.spatialglue.fit import EPOCHS, Inputs, Networks, train
from backend.models.spatialglue.inputs import COMPONENTS, Joined, Prepared, join, prepare
from backend.models.spatialglue.measures import measure, near_by_modality
from backend.models.spatialglue.model import Fitted, from_checkpoint, to_checkpoint
from backend.models.spatialglue.partition import Partition, partition, posterior_of
from backend.models.spatialglue.reference import run_reference
from backend.models.spatialglue.report import (
    ablation_weights,
    averaged,
    better_baselines,
    domain_figures,
    domain_name,
    modality_figures,
    stability_figures,
)
from backend.models.spatialglue.technologies import technology_of
from backend.models.spatialglue.weights import Weights, weigh


@dataclass(frozen=True, slots=True)
class IntegrateParams:
    """What to run.

    Parameters
    ----------
    clusters : int or None
        Number of domains; suggested where None.
    seeds : int
        Networks trained, each from a start of its own.
    starts : int
        Partitions drawn per network.
    mode : "default" or "parity"
        Parity runs the network, preprocessing and schedule of the reference.
    technology : str
        Row of the reference's table; parity mode only.
    components : int or None
        Per modality; 20 at most in default mode where None.
    empty : "refuse" or "missing"
        What to make of spots without any count in a modality.
    truth : str
        Label of the section that partitions are compared with; none where empty.
    """

    clusters: int | None = None
    seeds: int = 5
    starts: int = 3
    mode: Literal["default", "parity"] = "default"
    technology: str = ""
    components: int | None = None
    empty: Literal["refuse", "missing"] = "refuse"
    truth: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that one run found; ``fitted`` is None in parity mode."""

    joined: Joined
    prepared: Prepared
    ensemble: Ensemble
    partition: Partition
    weights: Weights
    figures: dict[str, Any]
    baseline_labels: dict[str, NDArray[np.int64]]
    fitted: Fitted | None


def integrate_modalities(
    sections: Sequence[SectionData],
    params: IntegrateParams,
    checkpoint: Checkpoint | None,
    ctx: RunContext,
) -> TaskResult:
    """Return domains, weights of modalities, and figures for all spots of ``sections``.

    Parameters
    ----------
    sections : sequence of SectionData
        With modalities. Several are run together: no edge joins two sections, and each section's
        mean and spread of every component are taken out.
    params : IntegrateParams
    checkpoint : Checkpoint or None
        Of a trained model: the spots are placed by it, and nothing is trained.
    ctx : RunContext

    Returns
    -------
    TaskResult
        See ``backend.runs.weights`` for every column, matrix and figure.

    Raises
    ------
    BadFile, BadRequest, NoSpatialSignal, UnknownLayer, BadCheckpoint, Diverged, Cancelled
    """
    if checkpoint is not None:
        return apply_model(from_checkpoint(checkpoint), sections, params, ctx)
    return result_of(sections, params, run(sections, params, ctx), ctx.seed)


def run(sections: Sequence[SectionData], params: IntegrateParams, ctx: RunContext) -> Run:
    """Return everything that one run finds; see ``integrate_modalities``."""
    sections = _checked(sections, params)
    truth = _truth(sections, params.truth)
    clock = _Clock()
    joined = join(sections)
    prepared = prepare(joined, ctx.part(0.0, 0.15), components=params.components or COMPONENTS)
    able = _able(joined, prepared)
    clock.lap("prepare")
    ensemble, networks, features = _embedded(joined, prepared, able, params, ctx.part(0.15, 0.6))
    clock.lap("train")
    suggestion = _suggestion(ensemble, params, ctx.part(0.6, 0.68))
    k = params.clusters or (suggestion.count if suggestion else 0)
    clock.lap("count")
    parts = partition(ensemble.embeddings, k, params.starts, ctx.seed, ctx.part(0.68, 0.78))
    clock.lap("domains")
    weights = weigh(
        prepared.inputs.smooth, joined.present, parts.labels, parts.members, params.seeds, k,
        ctx.part(0.78, 0.88),
    )  # fmt: skip
    clock.lap("evidence")
    near = near_by_modality(features, ctx.seed)
    model = measure(parts.labels, ensemble.mean(), near, prepared.ring, truth)
    baselines, labels = run_baselines(
        features, near, joined.present, prepared.inputs.spatial, prepared.ring, k, truth,
        ctx.part(0.88, 0.99),
    )  # fmt: skip
    clock.lap("baselines")
    figures = {
        "mode": params.mode,
        "spots": len(joined.xy),
        "modalities": modality_figures(
            joined.modalities, prepared.axes, [x.shape[1] for x in prepared.components.values()]
        ),
        "count": k,
        "suggestion": suggestion.as_json() if suggestion else None,
        "model": model,
        "baselines": baselines,
        "better_baselines": better_baselines(model, baselines),
        "seconds": clock.laps,
    }
    fitted = None
    if networks is not None:
        share = np.bincount(parts.labels, minlength=k) / len(parts.labels)
        about = {"seed": ctx.seed, "parameters": asdict(params), "metrics": {"model": model}}
        fitted = Fitted(
            tuple(m.name for m in joined.modalities), prepared.recipes, prepared.axes, able,
            networks, ensemble.levels, parts.mixtures, weights.gaussians, share, about,
        )  # fmt: skip
    return Run(joined, prepared, ensemble, parts, weights, figures, labels, fitted)


def trained_checkpoint(found: Run, sections: Sequence[SectionData]) -> Checkpoint:
    """Return the model of a run, to be saved.

    Raises
    ------
    BadRequest
        In parity mode, whose networks are bound to the spots that they were trained on.
    """
    if found.fitted is None:
        raise BadRequest("Parity mode has no model to save.", "Use --mode default.")
    return to_checkpoint(found.fitted, sections)


def result_of(
    sections: Sequence[SectionData], params: IntegrateParams, found: Run, seed: int
) -> TaskResult:
    """Return a run as columns, matrices and figures per section."""
    present = found.joined.present
    names = [m.name for m in found.joined.modalities]
    parts, weights = found.partition, found.weights
    across, within = averaged(found.ensemble.across), averaged(found.ensemble.within)
    ablation = ablation_weights(found.ensemble, present)
    inputs = found.prepared.inputs
    energy = energy_weights(signal_energy(inputs.smooth, present, inputs.spatial), present)
    tables = {
        "": weights.weight,
        ".spread": weights.spread,
        ".attention": across,
        ".within": within,
        ".ablation": ablation,
        ".energy": energy,
    }
    figures = {
        **found.figures,
        "domains": domain_figures(
            names, parts, weights, across, within, energy, ablation, present,
            found.figures["model"]["moran"],
        ),
        "stability": stability_figures(names, parts, weights, params.seeds, params.starts),
        "how_to_read": HOW_TO_READ,
        "warnings": _warnings(found, params),
    }  # fmt: skip
    numbers = {
        LayerKey("confidence", "domain"): parts.confidence,
        LayerKey("score", "agreement"): parts.agreement,
        **{
            LayerKey("weight", f"{name}{suffix}"): table[:, m]
            for suffix, table in tables.items()
            for m, name in enumerate(names)
        },
    }
    labels = {"domain": parts.labels} | {
        f"baseline {name}": codes for name, codes in found.baseline_labels.items()
    }
    matrices = {
        "embedding:joint": (
            found.ensemble.mean(),
            _axis_names(found.joined, found.prepared, params),
        ),
        "bits": (weights.bits, tuple(names)),
    }
    columns, tables_out = _per_section(sections, labels, numbers, matrices)
    provenance = _provenance(sections, params, seed)
    return TaskResult(columns, tables_out, (), figures, provenance)


def apply_model(
    fitted: Fitted, sections: Sequence[SectionData], params: IntegrateParams, ctx: RunContext
) -> TaskResult:
    """Return domains and weights of new spots by a trained model; nothing is trained.

    Raises
    ------
    BadFile, BadRequest
        Also where a modality of the model is absent.
    """
    sections = _checked(sections, replace(params, components=None))
    joined = _like_model(join(sections), fitted)
    prepared = prepare(joined, ctx.part(0.0, 0.6), recipes=fitted.recipes, axes=fitted.axes)
    inputs = _able_inputs(prepared.inputs, fitted.able)
    ensemble = embed(inputs.smooth, inputs.like, fitted.networks, ctx.part(0.6, 0.9), fitted.levels)
    posterior = posterior_of(fitted.mixtures, ensemble.embeddings)
    labels = posterior.argmax(axis=1)
    bits = evidence_bits(prepared.inputs.smooth, joined.present, fitted.gaussians, fitted.share)
    weight = weights_of(bits, joined.present)
    numbers = {LayerKey("confidence", "domain"): posterior.max(axis=1).astype(np.float32)}
    numbers |= {LayerKey("weight", n): weight[:, m] for m, n in enumerate(fitted.names)}
    matrices = {
        "embedding:joint": (ensemble.mean(), _axis_names(joined, prepared, params)),
        "bits": (bits, fitted.names),
    }
    columns, tables = _per_section(
        sections, {"domain": labels}, numbers, matrices, len(fitted.share)
    )
    figures = {
        "mode": "applied", "spots": len(labels), "count": len(fitted.share),
        "how_to_read": HOW_TO_READ, "warnings": [],
    }  # fmt: skip
    ctx.step(1.0, "Placed the spots")
    provenance = _provenance(sections, params, int(fitted.about["seed"]))
    return TaskResult(columns, tables, (), figures, provenance)


class _Clock:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Record the time since the last lap."""
        now = time.perf_counter()
        self.laps[name], self._last = round(now - self._last, 3), now


def _checked(sections: Sequence[SectionData], params: IntegrateParams) -> list[SectionData]:
    """Refuse what cannot be run, all of it at once."""
    technology_of(params.technology)
    for name, value, least in (
        ("clusters", params.clusters, 2), ("seeds", params.seeds, 1), ("starts", params.starts, 1),
        ("components", params.components, 1),
    ):  # fmt: skip
        if value is not None and value < least:
            raise BadRequest(f"{name} is {value}.", f"Give {least} or more.")
    spots = sum(s.n_cells for s in sections)
    if params.clusters is not None and params.clusters > max(spots // 4, 2):
        raise BadRequest(
            f"{params.clusters} domains were asked for, of {spots} spots.",
            f"Ask for at most {max(spots // 4, 2)}.",
        )
    refuse_faults(sections, params.components, empty=params.empty == "missing")
    return [empty_as_missing(s) for s in sections] if params.empty == "missing" else list(sections)


def _truth(sections: Sequence[SectionData], label: str) -> NDArray[np.int64] | None:
    """Codes of the label that partitions are compared with."""
    if not label:
        return None
    for section in sections:
        if label not in section.labels:
            raise UnknownLayer(
                f"Section '{section.title}' has no label '{label[:60]}'.",
                *filter(None, [did_you_mean(label, section.labels)]),
            )
    names: dict[str, int] = {}
    codes = []
    for section in sections:
        own = section.labels[label]
        table = [names.setdefault(c.name, len(names)) for c in own.categories]
        codes.append(np.where(own.codes >= 0, np.array([*table, -1])[own.codes], -1))
    return np.concatenate(codes).astype(np.int64)


def _able(joined: Joined, prepared: Prepared) -> tuple[int, ...]:
    """Modalities with at least one spatial axis."""
    able = tuple(m for m, a in enumerate(prepared.axes) if a.count)
    if not able:
        names = ", ".join(m.name for m in joined.modalities)
        raise NoSpatialSignal(
            f"Nothing in {names} varies in space more than it does between shuffled spots.",
            "Check that coordinates and counts are in the same order of spots.",
        )
    return able


def _able_inputs(inputs: Inputs, able: Sequence[int]) -> Inputs:
    axes, smooth, like = (
        [group[m] for m in able] for group in (inputs.axes, inputs.smooth, inputs.like)
    )
    return replace(
        inputs, axes=axes, smooth=smooth, like=like, present=inputs.present[:, list(able)]
    )


def _embedded(
    joined: Joined,
    prepared: Prepared,
    able: tuple[int, ...],
    params: IntegrateParams,
    ctx: RunContext,
) -> tuple[Ensemble, Networks | None, dict[str, NDArray[np.float32]]]:
    """Train and embed; also the components that baselines and measures see."""
    seeds = [ctx.seed * 1000 + i for i in range(params.seeds)]
    if params.mode == "parity":
        technology = technology_of(params.technology)
        ensemble, features = run_reference(joined, technology, seeds, params.components, ctx)
        return ensemble, None, features
    inputs = _able_inputs(prepared.inputs, able)
    networks, _ = train(inputs, seeds, ctx.part(0.0, 0.8), EPOCHS)
    own = embed(inputs.smooth, inputs.like, networks, ctx.part(0.8, 1.0))
    return _all_modalities(own, able, len(joined.modalities)), networks, prepared.components


def _all_modalities(own: Ensemble, able: tuple[int, ...], m: int) -> Ensemble:
    """Attention and ablation with a zero column for each modality that networks do not know."""
    if len(able) == m:
        return own

    def widened(values: NDArray[np.float32]) -> NDArray[np.float32]:
        out = np.zeros((*values.shape[:2], m), np.float32)
        out[..., list(able)] = values
        return out

    within, across, ablation = (widened(v) for v in (own.within, own.across, own.ablation))
    return Ensemble(own.embeddings, within, across, ablation, own.levels)


def _suggestion(ensemble: Ensemble, params: IntegrateParams, ctx: RunContext) -> Suggestion | None:
    if params.clusters is not None:
        return None
    return suggest_count(ensemble.mean(), ctx.seed, ctx, MOST)


def _axis_names(joined: Joined, prepared: Prepared, params: IntegrateParams) -> tuple[str, ...]:
    """Names of the columns of the joint embedding; empty in parity mode, where they have none."""
    if params.mode == "parity":
        return ()
    return tuple(
        f"{m.name} {i + 1}"
        for m, a in zip(joined.modalities, prepared.axes, strict=True)
        for i in range(a.count)
    )


def _per_section(
    sections: Sequence[SectionData],
    labels: Mapping[str, NDArray[np.integer]],
    numbers: Mapping[LayerKey, NDArray[np.float32]],
    matrices: Mapping[str, tuple[NDArray[np.float32], tuple[str, ...]]],
    k: int | None = None,
) -> tuple[tuple[Column, ...], tuple[Matrix, ...]]:
    """Cut values of all spots into columns and matrices of sections."""
    columns, tables = [], []
    start = 0
    for section in sections:
        rows = slice(start, start + section.n_cells)
        start = rows.stop
        for name, codes in labels.items():
            count = k or int(codes.max()) + 1
            columns.append(
                Column(section.id, LayerKey("label", name), codes[rows].astype(np.int16),
                       _categories(count))
            )  # fmt: skip
        for key, values in numbers.items():
            columns.append(Column(section.id, key, values[rows].astype(np.float32)))
        for name, (table, titles) in matrices.items():
            shown = titles or tuple(f"component {i + 1}" for i in range(table.shape[1]))
            tables.append(Matrix(section.id, name, table[rows].astype(np.float32), shown))
    return tuple(columns), tuple(tables)


def _categories(k: int) -> tuple[Category, ...]:
    return tuple(Category(domain_name(i), COLOURS[i % len(COLOURS)]) for i in range(k))


def _like_model(joined: Joined, fitted: Fitted) -> Joined:
    """Modalities in the order of the model."""
    have = {m.name: m for m in joined.modalities}
    absent = [n for n in fitted.names if n not in have]
    if absent:
        raise BadRequest(
            f"The model was trained on {', '.join(fitted.names)}; {', '.join(absent)} is absent.",
            f"The section has {', '.join(have)}. Rename its modalities, or train a model on them.",
        )
    for name, recipe in zip(fitted.names, fitted.recipes, strict=True):
        if not set(recipe.features) & set(have[name].features):
            raise BadRequest(
                f"No feature of {name} is known to the model.",
                f"It knows {', '.join(recipe.features[:5])}, ...",
            )
    return replace(joined, modalities=tuple(have[n] for n in fitted.names))


def _warnings(found: Run, params: IntegrateParams) -> list[str]:
    """Sentences that a person should read before the maps."""
    out = [ONE_MODALITY] if len(found.joined.modalities) == 1 else []
    for m, a in zip(found.joined.modalities, found.prepared.axes, strict=True):
        if not a.count:
            out.append(
                f"{m.name} shows no spatial signal above shuffled spots and was left out; its "
                "weight is the floor that every modality has."
            )
        missing = int((~m.present).sum())
        if missing:
            out.append(f"{missing:,} spots lack {m.name}; they are placed by what they have.")
    suggestion = found.figures["suggestion"]
    if suggestion and not suggestion["is_confirmed"]:
        out.append(
            f"The number of domains is uncertain: the silhouette says "
            f"{suggestion['silhouette_choice']}, the mixture {suggestion['knee']}."
        )
    for better in found.figures["better_baselines"]:
        out.append(
            f"Baseline '{better['baseline']}' is better here by {better['measure']}: "
            f"{better['baseline_figure']:.3f} against {better['model_figure']:.3f}."
        )
    if params.mode == "parity":
        out.append(
            "Parity mode: the published schedule is short, and domains and attention depend on "
            "the seed; the default mode is recommended."
        )
    return out


def _provenance(sections: Sequence[SectionData], params: IntegrateParams, seed: int) -> Provenance:
    ids = tuple(s.id for s in sections)
    return Provenance(CARD.name, CARD.version, asdict(params), seed, ids)
