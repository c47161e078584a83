"""Panels: informative genes found, doubles left out, scores only of cells never chosen on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.analysis.panel import choose_panel
from backend.analysis.panel_choose import (
    Start,
    by_gain,
    evidence,
    excess_variance,
    modules,
    unit_rows,
)
from backend.analysis.panel_curve import Labels, PanelParams
from backend.analysis.panel_score import Fold, Sample, folds, macro_f1, score
from backend.core.errors import BadRequest, TooFewCells

#: Four types; genes 0 to 3 mark one each, 4 to 7 mark the same again, the rest are noise.
TYPES, NOISE = 4, 12
GENES = [f"Mark{k}" for k in range(8)] + [f"Noise{k}" for k in range(NOISE)]
QUICK = PanelParams(genes=4, draws=3)
LABELS = Labels("type", ("region",), frozenset({"region"}))


def sample(name: str, seed: int, n: int = 300) -> Sample:
    rng = np.random.default_rng(seed)
    types = rng.integers(0, TYPES, n)
    xy = rng.uniform(0, 1000, (n, 2))
    regions = (xy[:, 0] > 500).astype(int)
    rate = np.full((n, len(GENES)), 1.0)
    for k in range(8):
        rate[:, k] = np.where(types == k % 4, 6.0, 0.2)
    rate[:, 8] = np.where(regions == 1, 3.0, 1.0)  # says nothing of types, something of places
    rate[:, 19] = 30.0  # the most variable gene knows nothing
    counts = csr_matrix(rng.poisson(rate * rng.gamma(2, 0.5, (n, 1))).astype(float))
    return Sample(name, xy, counts, {"type": types, "region": regions})


def embedding() -> np.ndarray:
    """Genes of one type share a direction, noise genes have their own."""
    out = np.random.default_rng(0).normal(0, 0.1, (len(GENES), 8))
    for k in range(8):
        out[k, k % 4] = 1.0
    out[8:, 4:] += 0.5
    return out


SAMPLES = [sample("a", 1), sample("b", 2)]


def test_a_panel_of_four_marks_each_type_once() -> None:
    found = choose_panel(SAMPLES, GENES, embedding(), LABELS, QUICK)
    marked = sorted(int(row["gene"][4:]) % 4 for row in found["genes"])
    assert marked == [0, 1, 2, 3]
    first = found["genes"][0]
    assert first["share"] > 0.5
    assert first["highest_in"] == int(first["gene"][4:]) % 4
    assert sum(m["n_chosen"] for m in found["modules"]) == 4


def test_the_curve_holds_every_way_beside_random_panels() -> None:
    found = choose_panel(SAMPLES, GENES, embedding(), LABELS, QUICK)
    at = {(r["label"], r["way"], r["n"]): r for r in found["curve"]}
    ours, random = at["type", "embedding", 4], at["type", "random", 4]
    assert ours["accuracy"] > random["accuracy"] + 2 * random["sd"] > 0.4
    assert ours["accuracy"] > at["type", "variable", 4]["accuracy"]
    assert random["draws"] == 3
    assert at["type", "all", 20]["accuracy"] > 0.8
    assert at["region", "all", 20]["accuracy"] > 0.8
    assert set(found["sizes"]) == {4, 10, 20}


def test_the_verdict_names_a_way_that_is_better() -> None:
    found = choose_panel(SAMPLES, GENES, embedding(), LABELS, replace(QUICK, way="variable"))
    verdict = found["verdicts"][0]
    assert "embedding" in verdict["ahead"]
    assert "Better here: " in verdict["text"]


def test_a_score_is_of_cells_that_were_never_fitted() -> None:
    train, test = SAMPLES
    rng = np.random.default_rng(0)
    shuffled = replace(test, codes={"type": rng.permutation(test.codes["type"])})
    columns = np.arange(4)
    assert score(Fold((train,), (test,)), "type", columns, False, 0).accuracy > 0.7
    assert score(Fold((train,), (shuffled,)), "type", columns, False, 0).accuracy < 0.4


def test_what_is_held_out_is_held_out_once() -> None:
    sections = [sample(str(k), k, 120) for k in range(6)]
    parts = folds(sections)
    held = [s.section for fold in parts for s in fold.test]
    assert sorted(held) == [str(k) for k in range(6)]
    assert all({s.section for s in f.train}.isdisjoint(s.section for s in f.test) for f in parts)
    quarters = folds(sections[:1])
    assert sum(len(f.test[0].xy) for f in quarters) == 120
    assert all(len(f.test[0].xy) + len(f.train[0].xy) == 120 for f in quarters)


def test_forced_genes_come_first_and_others_make_up_for_them() -> None:
    forced = replace(QUICK, include=("noise3",), genes=5)
    found = choose_panel(SAMPLES, GENES, embedding(), LABELS, forced)
    assert found["genes"][0]["gene"] == "Noise3"
    assert found["genes"][0]["forced"]
    assert sorted(int(r["gene"][4:]) % 4 for r in found["genes"][1:]) == [0, 1, 2, 3]


def test_novelty_turns_away_a_gene_of_a_chosen_direction() -> None:
    found = evidence(SAMPLES, "type", False, 0)
    unit = unit_rows(embedding())
    start = Start(8, np.zeros(0, np.int64), unit, modules(unit, 0))
    assert len(set(by_gain(found, start, 0.5))) == 8
    # With novelty at its full weight a second gene of the same direction has no gain left.
    assert {g % 4 for g in by_gain(found, start, 1.0)[:4]} == {0, 1, 2, 3}


def test_figures_by_hand() -> None:
    assert macro_f1(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])) == pytest.approx(
        (2 / 3 + 4 / 5) / 2
    )
    flat = excess_variance([SAMPLES[0]])
    assert flat.shape == (len(GENES),)
    assert unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[0.6, 0.8], [0.0, 0.0]]


def test_what_cannot_be_done_is_said_at_once() -> None:
    with pytest.raises(BadRequest, match="genes is 1.*way is 'best'.*A must be both in and out"):
        PanelParams(genes=1, way="best", include=("a",), exclude=("A",)).checked()
    with pytest.raises(BadRequest, match="Nope cannot be forced"):
        choose_panel(SAMPLES, GENES, embedding(), LABELS, replace(QUICK, include=("Nope",)))
    few = [SAMPLES[0].rows(np.arange(50))]
    with pytest.raises(TooFewCells, match="50 cells"):
        choose_panel(few, GENES, embedding(), LABELS, QUICK)


def test_the_same_seed_gives_the_same_panel_and_curve() -> None:
    one = choose_panel(SAMPLES, GENES, embedding(), LABELS, QUICK)
    assert choose_panel(SAMPLES, GENES, embedding(), LABELS, QUICK) == one
