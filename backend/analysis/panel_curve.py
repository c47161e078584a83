"""The held-out curve of a panel: every way of choosing at every size, and which is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from backend.analysis.panel_choose import TITLES, WAYS, Start, evidence, random_panel
from backend.analysis.panel_score import Fold, Score, score
from backend.core.errors import BadRequest
from backend.core.job import RunContext

#: Sizes of the curve, as published but for the closer spacing.
SIZES = (10, 20, 40, 80, 150)
#: Two ways within this accuracy of one another are called even.
EVEN = 0.005


@dataclass(frozen=True, slots=True)
class PanelParams:
    """What panel is wanted.

    Parameters
    ----------
    genes : int
        Genes of the panel.
    way : str
        How it is chosen, one of ``WAYS``.
    include, exclude : tuple of str
        Genes that must be in, or must not.
    draws : int
        Random panels per size.
    seed : int
    """

    genes: int = 60
    way: str = "embedding"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    draws: int = 20
    seed: int = 0

    def checked(self) -> PanelParams:
        """Return the same.

        Raises
        ------
        BadRequest
            Naming every value that cannot be used.
        """
        wrong = []
        if not 2 <= self.genes <= 1000:
            wrong.append(f"genes is {self.genes}, expected 2 to 1000")
        if self.way not in WAYS:
            wrong.append(f"way is '{self.way}', expected {', '.join(WAYS)}")
        if not 1 <= self.draws <= 1000:
            wrong.append(f"draws is {self.draws}, expected 1 to 1000")
        if len(self.include) > self.genes:
            wrong.append(f"{len(self.include)} genes must be in a panel of {self.genes}")
        both = {g.upper() for g in self.include} & {g.upper() for g in self.exclude}
        if both:
            wrong.append(f"{', '.join(sorted(both)[:5])} must be both in and out")
        if wrong:
            raise BadRequest(f"No panel can be chosen so: {'; '.join(wrong)}.")
        return self


class Labels(NamedTuple):
    """The label to tell apart, others to score too, and which of them are places."""

    main: str
    others: tuple[str, ...]
    places: frozenset[str]


def held_out_curve(
    parts: Sequence[Fold],
    start: Start,
    labels: Labels,
    sizes: Sequence[int],
    params: PanelParams,
    ctx: RunContext,
) -> list[dict[str, Any]]:
    """Return the held-out score of each label, way and size, and of all candidates together."""
    held: dict[tuple[str, str, int, int], list[Score]] = {}
    for k, fold in enumerate(parts):
        part = ctx.part(k / len(parts), (k + 1) / len(parts))
        _score_fold(fold, start, labels, sizes, params, part, held)
    names = (labels.main, *labels.others)
    ways = [*WAYS, "random", "all"]
    return [
        _entry(label, way, n, [held[key] for key in held if key[:3] == (label, way, n)])
        for label in names
        for way in ways
        for n in ([len(start.unit)] if way == "all" else sizes)
    ]


def _score_fold(
    fold: Fold,
    start: Start,
    labels: Labels,
    sizes: Sequence[int],
    params: PanelParams,
    ctx: RunContext,
    held: dict[tuple[str, str, int, int], list[Score]],
) -> None:
    """Choose panels on the training part of one fold, score them on the rest, add to ``held``."""
    found = evidence(fold.train, labels.main, labels.main in labels.places, params.seed)
    m = len(start.unit)
    longest = Start(max(sizes), start.forced, start.unit, start.module)
    # Every way adds genes one by one, so that a small panel is the head of a large one.
    orders = {(way, 0): choose(found, longest) for way, choose in WAYS.items()}
    orders |= {
        ("random", draw): random_panel(longest, m, params.seed * 1000 + draw)
        for draw in range(params.draws)
    }
    names = (labels.main, *labels.others)
    todo = [(way, draw, n) for (way, draw) in orders for n in sizes] + [("all", 0, m)]
    for done, (way, draw, n) in enumerate(todo):
        ctx.step(done / len(todo), f"Scoring panels of {n} genes")
        panel = np.arange(m) if way == "all" else np.sort(orders[way, draw][:n])
        for label in names:
            is_place = label in labels.places
            got = score(fold, label, panel, is_place, params.seed)
            held.setdefault((label, way, n, draw), []).append(got)


def _entry(label: str, way: str, n: int, draws: Sequence[Sequence[Score]]) -> dict[str, Any]:
    """Return mean over folds by cells scored, and spread over random panels."""
    means = [_over_folds(scores) for scores in draws]
    accuracy, f1 = np.array(means).T
    return {
        "label": label,
        "way": way,
        "n": n,
        "accuracy": _or_none(accuracy.mean()),
        "macro_f1": _or_none(f1.mean()),
        "sd": _or_none(accuracy.std(ddof=1)) if len(means) > 1 else None,
        "draws": len(means),
    }


def _over_folds(scores: Sequence[Score]) -> tuple[float, float]:
    some = [s for s in scores if s.n_cells]
    if not some:
        return float("nan"), float("nan")
    weight = [s.n_cells for s in some]
    return (
        float(np.average([s.accuracy for s in some], weights=weight)),
        float(np.average([s.macro_f1 for s in some], weights=weight)),
    )


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def verdict(curve: Sequence[Mapping[str, Any]], label: str, params: PanelParams) -> dict[str, Any]:
    """Return, for one label, how the chosen way compares at the size nearest to the wanted one."""
    rows = [r for r in curve if r["label"] == label and r["accuracy"] is not None]
    own = [r for r in rows if r["way"] == params.way]
    if not own:
        return {"label": label, "text": f"No held-out cell has a {label} label to score."}
    here = min(own, key=lambda r: abs(r["n"] - params.genes))
    rivals = [r for r in rows if r["n"] == here["n"] and r["way"] not in (params.way, "all")]
    ahead = [r for r in rivals if r["accuracy"] > here["accuracy"] + EVEN]
    even = [r for r in rivals if abs(r["accuracy"] - here["accuracy"]) <= EVEN]
    ahead.sort(key=lambda r: -r["accuracy"])
    return {
        "label": label,
        "n": here["n"],
        "accuracy": here["accuracy"],
        "ahead": [r["way"] for r in ahead],
        "even": [r["way"] for r in even],
        "text": _verdict_words(here, ahead, even),
    }


def _verdict_words(
    here: Mapping[str, Any], ahead: Sequence[Mapping[str, Any]], even: Sequence[Mapping[str, Any]]
) -> str:
    text = f"{here['label']}, {here['n']} genes: {here['accuracy']:.3f} of held-out cells right."
    if ahead:
        named = ", ".join(f"{TITLES[r['way']].lower()} ({r['accuracy']:.3f})" for r in ahead)
        return f"{text} Better here: {named}."
    if even:
        named = ", ".join(f"{TITLES[r['way']].lower()} ({r['accuracy']:.3f})" for r in even)
        return f"{text} Even with {named}; ahead of the others."
    return f"{text} Ahead of every other way."
