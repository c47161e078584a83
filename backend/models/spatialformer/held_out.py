"""The pair model judged on tissue that it has not seen, beside plain methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.spatialformer.measures import pair_aucs
from backend.models.spatialformer.pairs import RADIUS, Pairs, sample_pairs
from backend.models.spatialformer.partners import PairModel, Training, fit_pairs, make_training
from backend.models.spatialformer.plain import clusters_of, cosine, nearest, pair_frequency

#: Stripes of a section, each held out once; half of the band between stripes that none has, um.
STRIPES, HALF_BAND = 2, 75.0
#: Inverse penalties that are tried.
PENALTIES = (0.001, 0.01)
#: Another embedding is used if the mean AUC rises by this much.
GAIN = 0.005
#: Names under which figures are shown, in order.
MODEL, EXTRA = "Pair model", "Pair model with embedding"
#: The transformer by itself, and what it sees of cells as further features of the pair model.
TRANSFORMER, WITH_TRANSFORMER = "Transformer", "Pair model with transformer"
BILINEAR, QUICK = "With bilinear head", "Closed-form bilinear"
LOGISTIC, COSINE, FREQUENCY = "Logistic on components", "Cosine of components", "Pairs of clusters"


#: Scores of pairs (a, b) of rows.
Scores = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Split:
    """Sections to train on and one that is unseen, each with its rows in the whole section."""

    train: SectionData
    test: SectionData
    train_rows: NDArray[np.int64]
    test_rows: NDArray[np.int64]


def stripes(section: SectionData, count: int = STRIPES) -> list[Split]:
    """Return a section cut across its longer side: each stripe unseen once.

    Cells within ``HALF_BAND`` of a cut are in neither side.
    """
    axis = int(np.ptp(section.xy, axis=0).argmax())
    along = section.xy[:, axis]
    cuts = np.quantile(along, np.linspace(0, 1, count + 1))
    out = []
    for lo, hi in zip(cuts[:-1], cuts[1:], strict=True):
        first, last = lo == cuts[0], hi == cuts[-1]
        inside = (first | (along > lo + HALF_BAND)) & (last | (along < hi - HALF_BAND))
        outside = (~first & (along < lo - HALF_BAND)) | (~last & (along > hi + HALF_BAND))
        rows = np.flatnonzero(outside), np.flatnonzero(inside)
        out.append(Split(rows_of(section, rows[0]), rows_of(section, rows[1]), *rows))
    return out


def rows_of(section: SectionData, rows: NDArray[np.int64]) -> SectionData:
    """Return some cells of a section, with expression and places only."""
    return replace(
        section, xy=section.xy[rows], counts=section.counts[rows], names=section.names[rows],
        labels={}, numbers={}, modalities=(), embedding=None,
    )  # fmt: skip


def choose_penalty(training: Training, test: SectionData, pairs: Pairs) -> dict[float, float]:
    """Return the mean of hard and easy AUC on unseen cells by inverse penalty."""
    found = {}
    for c in PENALTIES:
        model = fit_pairs(training, c)
        cells = model.describe(test)
        figures = pair_aucs(model.logits(cells.rows(pairs.a), cells.rows(pairs.b)), pairs)
        found[c] = (figures["hard"] + figures["easy"]) / 2
    return found


def compare(
    training: Training,
    model: PairModel,
    test: SectionData,
    radii: Sequence[float],
    seed: int,
    extra: NDArray[np.floating] | None = None,
    more: bool = True,
    bilinear: bool = False,
    also: Mapping[str, Scores] | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """Return hard, easy and within-pair AUC by radius ("10", "30") and by method.

    Parameters
    ----------
    training : Training
    model : PairModel
        Fitted to it.
    test : SectionData
        Unseen.
    radii : sequence of float
    seed : int
        Of pairs and clusters.
    extra : (n, e) array, optional
        The other embedding of the unseen cells.
    more : bool
        Also the logistic regression on components.
    bilinear : bool
        Also the second head.
    also : mapping of callable (rows, rows) -> scores, optional
        Other methods by name; rows are of the unseen cells.
    """
    cells = model.describe(test, extra)
    centres, groups = clusters_of([c.h for c in training.cells], seed)
    own = nearest(cells.h, centres)
    odds = pair_frequency(training, groups, len(centres))
    plain = fit_pairs(training, kind="plain") if more else None
    both = fit_pairs(training, bilinear=True) if bilinear else None
    out: dict[str, dict[str, dict[str, float]]] = {}
    for radius in radii:
        pairs = sample_pairs(test.xy, seed + 1000, radius, draws=1)
        a, b = cells.rows(pairs.a), cells.rows(pairs.b)
        scores = {MODEL: model.logits(a, b)}
        for name, method in (also or {}).items():
            scores[name] = method(pairs.a, pairs.b)
        if both is not None:
            scores[BILINEAR] = both.logits(a, b)
        if plain is not None:
            scores[LOGISTIC] = plain.logits(a, b)
        scores[QUICK] = model.quick_scores(a, b)
        scores[COSINE] = cosine(a.h, b.h)
        scores[FREQUENCY] = odds[own[pairs.a], own[pairs.b]]
        out[f"{radius:g}"] = {name: pair_aucs(s, pairs, own) for name, s in scores.items()}
    return out


@dataclass(frozen=True, slots=True)
class Judged:
    """What held-out stripes of one section say.

    penalty : float
    auc : figures by radius and method; what is used stands first.
    takes : str
        Name of the embedding that is used as further features, empty where none wins.
    """

    penalty: float
    auc: dict[str, dict[str, dict[str, float]]]
    takes: str


def judge(
    section: SectionData,
    radii: Sequence[float],
    ctx: RunContext,
    radius: float = RADIUS,
    extras: Mapping[str, NDArray[np.floating]] | None = None,
    also: Mapping[str, Scores] | None = None,
) -> Judged:
    """Return what to use on a section, and how well that does on its unseen stripes.

    Parameters
    ----------
    section : SectionData
    radii : sequence of float
    ctx : RunContext
    radius : float
        At which embeddings are compared.
    extras : mapping of (n, e) arrays, optional
        Embeddings that may become further features; the best is used where it wins.
    also : mapping of callable (rows, rows) -> scores, optional
        Other methods that are shown; rows are of the section.

    Notes
    -----
    The penalty of each stripe's model is the one that is best on the other stripe, so that no
    figure is of a penalty that was chosen by it.

    Raises
    ------
    TooFewCells
        If a stripe has too few pairs.
    """
    splits = stripes(section)
    trainings, tables = [], []
    for i, split in enumerate(splits):
        ctx.step(i / len(splits), f"Learning without stripe {i + 1} of {len(splits)}")
        training = make_training([split.train], ctx.seed, radius)
        pairs = sample_pairs(split.test.xy, ctx.seed + 500 + i, radius, draws=1)
        tables.append(choose_penalty(training, split.test, pairs))
        trainings.append(training)
    figures: list[dict[str, dict[str, dict[str, float]]]] = []
    gains: list[dict[str, dict[str, float]]] = []
    for i, (split, training) in enumerate(zip(splits, trainings, strict=True)):
        ctx.step((i + 1) / (len(splits) + 1), f"Testing on stripe {i + 1} of {len(splits)}")
        c = _best([t for j, t in enumerate(tables) if j != i])
        methods = {name: _within_split(method, split) for name, method in (also or {}).items()}
        figures.append(
            compare(training, fit_pairs(training, c), split.test, radii, ctx.seed, also=methods)
        )
        gains.append({name: _with_extra(split, values, c, radius, ctx.seed)
                      for name, values in (extras or {}).items()})  # fmt: skip
    auc = _mean(figures)
    plain = auc[f"{radius:g}"]
    gained = _mean([{"": g} for g in gains])[""]
    takes = _winner(plain[MODEL], gained)
    first = {takes: gained[takes]} if takes else {}
    auc[f"{radius:g}"] = {**first, MODEL: plain[MODEL], **gained, **plain}
    return Judged(_best(tables), auc, takes)


def _within_split(method: Scores, split: Split) -> Scores:
    """Return a method of a section as one of the unseen cells of a split."""
    return lambda a, b: method(split.test_rows[a], split.test_rows[b])


def _winner(plain: dict[str, float], gained: Mapping[str, dict[str, float]]) -> str:
    """Return the embedding with which the mean AUC rises most, and enough; empty if none does."""
    rise = {n: sum(f[k] - plain[k] for k in ("hard", "easy")) / 2 for n, f in gained.items()}
    best = max(rise, key=lambda n: rise[n], default="")
    return best if best and rise[best] > GAIN else ""


def _best(tables: Sequence[dict[float, float]]) -> float:
    """Return the inverse penalty with the highest mean."""
    mean = {c: float(np.mean([t[c] for t in tables])) for c in PENALTIES}
    return max(mean, key=lambda c: mean[c])


def _with_extra(
    split: Split, extra: NDArray[np.floating], c: float, radius: float, seed: int
) -> dict[str, float]:
    """Return the figures of the model that also sees another embedding."""
    training = make_training([split.train], seed, radius, [extra[split.train_rows]])
    model = fit_pairs(training, c)
    own = extra[split.test_rows]
    found = compare(training, model, split.test, [radius], seed, own, more=False)
    return found[f"{radius:g}"][MODEL]


def _mean(
    figures: Sequence[dict[str, dict[str, dict[str, float]]]],
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the mean over stripes of every figure that one of them has."""
    out: dict[str, dict[str, dict[str, float]]] = {}
    for radius, methods in figures[0].items():
        out[radius] = {}
        for name, own in methods.items():
            values = {k: [f[radius][name][k] for f in figures] for k in own}
            finite = {k: [x for x in v if np.isfinite(x)] for k, v in values.items()}
            out[radius][name] = {k: float(np.mean(v)) for k, v in finite.items() if v}
    return out
