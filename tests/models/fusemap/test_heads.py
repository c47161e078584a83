from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from scipy.sparse import csr_matrix, identity

from backend.core.layers import Category
from backend.models.common.prep import Prepared
from backend.models.fusemap.adapt import adapted_scores, class_statistics
from backend.models.fusemap.head_data import Folds, HeadData
from backend.models.fusemap.head_training import soften, train_head
from backend.models.fusemap.heads import LEAST_TRUST, Cells, Head, predict, voices
from backend.models.fusemap.held_out import LEAST_GAIN, PlainReading
from backend.models.fusemap.hierarchy import grouped, parent_labels, under_parents
from backend.models.fusemap.kin import kin_graph, pair_agreement, shared_residual
from backend.models.fusemap.model import LabelHead
from backend.models.fusemap.nearest import Near
from backend.models.fusemap.plain_labels import GENES, Labelled, plain_guesses
from backend.models.fusemap.query import head_for
from backend.models.fusemap.reader import Scale, over_niches

N = 600


def cells(z: np.ndarray, near: csr_matrix | None = None) -> Cells:
    both, n = np.concatenate([z, z], axis=1), len(z)
    return Cells(both, both, np.zeros(n), csr_matrix(identity(n)), near)


def two_clusters() -> HeadData:
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1], N // 2)
    z = rng.normal(size=(N, 2)) + 3 * classes[:, None]
    seen = cells(z)
    scale = Scale.of(seen.common)
    seen = replace(seen, common=scale.apply(seen.common))
    return HeadData(seen, classes, np.zeros(N, np.int64), scale, 2, False)


def trained() -> Head:
    return train_head(two_clusters(), 0.1, Folds(np.arange(N) % 4, "quarters", {}), None)


def test_held_out_temperature_does_not_worsen_the_likelihood() -> None:
    for reading in ("near", "far", "alone"):
        figures = trained().calibrations[reading].held_out
        assert figures.nll_after <= figures.nll_before
        assert figures.accuracy > 0.95
        assert figures.ece < 0.05


def test_cell_without_evidence_for_any_class_is_novel_and_loses_its_confidence() -> None:
    known, strange = [[3.0, 3.0]], [[1.5, 1.5]]
    said = predict(trained(), cells(np.array(known * 20 + strange)), own_scale=False)
    assert not said.novel[0]
    assert said.confidence[0] > 0.95
    assert said.novelty[-1] > said.novelty[0]
    assert said.confidence[-1] < 0.8


def test_cells_that_nothing_explains_are_novel() -> None:
    plain = cells(np.array([[3.0, 3.0]] * 2))
    strange = replace(plain, unexplained=np.array([0.0, 1e4]))
    said = predict(trained(), strange, own_scale=False)
    assert said.novel.tolist() == [False, True]
    assert said.classes(0.0).tolist() == [1, -1]
    assert said.trust.tolist() == [1.0, LEAST_TRUST]


def test_far_reading_follows_a_query_whose_classes_have_moved() -> None:
    head, rng = trained(), np.random.default_rng(1)
    classes = np.repeat([0, 1], [540, 60])
    z = 5 + 2 * (rng.normal(size=(N, 2)) + 3 * classes[:, None])
    said = predict(head, cells(z), "far")
    assert (said.probability.argmax(axis=1) == classes).mean() > 0.85
    stiff = predict(head, cells(z), "far", own_scale=False)
    assert (stiff.probability.argmax(axis=1) == classes).mean() < 0.5


def test_centres_move_to_the_cells_of_the_query() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-2, 0.3, (200, 1)), rng.normal(1, 0.3, (200, 1))])
    centres = np.array([[-1.0], [2.0]])
    start = np.repeat(np.eye(2), 200, axis=0) * 0.6 + 0.2
    scores = adapted_scores(x, start, centres, np.array([[0.09]]))
    assert (scores.argmax(axis=1) == np.repeat([0, 1], 200)).all()


def test_class_without_cells_is_never_chosen() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    centres, covariance = class_statistics(x, np.zeros(50, np.int64), 2)
    scores = adapted_scores(x, np.full((50, 2), 0.5), centres, covariance)
    assert (scores.argmax(axis=1) == 0).all()


def test_label_of_places_is_averaged_over_neighbours() -> None:
    ring = csr_matrix(np.roll(np.eye(6), 1, axis=1) / 2 + np.roll(np.eye(6), -1, axis=1) / 2)
    scores = np.log(np.array([[0.9, 0.1]] * 5 + [[0.1, 0.9]]))
    assert (over_niches(scores, ring).argmax(axis=1) == 0).all()


def test_softened_head_is_less_sure_of_far_queries_only() -> None:
    head = trained()
    softer = soften(head, 3.0, 0.8)
    assert softer.calibrations["near"] == head.calibrations["near"]
    halved = [w / 3 for w in head.calibrations["far"].weights]
    assert list(softer.calibrations["far"].weights) == halved
    assert softer.calibrations["far"].threshold >= 0.8
    assert "softened" in softer.calibrations["alone"].held_out.how


def prepared(y: np.ndarray) -> Prepared:
    return Prepared(csr_matrix(y.astype(np.float32)), np.arange(y.shape[1]), y.mean(0), y.std(0))


def test_kin_are_of_one_kind_and_share_what_a_model_lacks() -> None:
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1], 100)
    y = rng.normal(size=(200, 12)) + 4 * kind[:, None] * (np.arange(12) < 6)
    p = prepared(y)
    kin = kin_graph(p)
    np.testing.assert_allclose(np.asarray(kin.sum(axis=1)).ravel(), 1, rtol=1e-5)
    rows = kin.tocoo()
    assert (kind[rows.row] == kind[rows.col]).mean() > 0.95
    unknown = shared_residual(p, np.zeros((12, 1)), np.zeros((200, 1)), kin)
    z = ((y - p.mean) / p.sd)[:, :6].mean(axis=1, keepdims=True)
    known = shared_residual(p, (np.arange(12) < 6)[:, None].astype(float), z, kin)
    assert unknown.mean() > 3 * known.mean()


def test_genes_agree_in_pairs_with_the_model_that_made_them() -> None:
    rng = np.random.default_rng(0)
    e = rng.normal(size=(20, 3))
    p = prepared(rng.normal(size=(400, 3)) @ e.T + rng.normal(size=(400, 20)))
    assert pair_agreement(p, e / np.sqrt((e**2).sum(axis=1, keepdims=True) + 1)) > 0.9
    assert abs(pair_agreement(p, rng.normal(size=(20, 3)))) < 0.3


CLASS = (Category("Neuron", "#000"), Category("Glia", "#111"))
PARENTS = {"Exc": "Neuron", "Inh": "Neuron", "Astro": "Glia", "Loose": None}
TYPE = tuple(Category(name, "#222", parent) for name, parent in PARENTS.items())


def test_levels_are_found_by_the_parents_of_their_classes() -> None:
    region = (Category("L1", "#333", "Cortex"),)
    found = parent_labels({"type": TYPE, "region": region, "class": CLASS})
    assert found == {"region": None, "class": None, "type": "class"}
    assert list(found).index("class") < list(found).index("type")


def test_types_are_chosen_under_the_assigned_class() -> None:
    p = np.array([[0.5, 0.1, 0.4, 0.0]] * 3)
    parents = [c.parent for c in TYPE]
    out = under_parents(p, parents, ["Glia", "Neuron", None])
    np.testing.assert_allclose(out[0], [0, 0, 1, 0])
    np.testing.assert_allclose(out[1], [5 / 6, 1 / 6, 0, 0])
    np.testing.assert_allclose(out[2], p[2])


def test_probability_of_a_group_is_the_sum_over_its_classes() -> None:
    total, names = grouped(np.array([[0.5, 0.1, 0.3, 0.1]]), [c.parent for c in TYPE])
    assert names == ("Glia", "Neuron")
    np.testing.assert_allclose(total, [[0.3, 0.6]])


def labelled(name: str, rng: np.random.Generator) -> Labelled:
    classes = np.repeat([0, 1], 50)
    return Labelled(name, prepared(rng.normal(size=(100, 8)) + 3 * classes[:, None]), classes)


def test_plain_guesses_use_another_data_set_where_the_own_one_is_held_out() -> None:
    rng = np.random.default_rng(0)
    sections = [labelled("A", rng), labelled("B", rng)]
    found = plain_guesses(sections, np.repeat([0, 1], 100), 2, harmony=False)
    assert set(found) == {GENES}
    assert found[GENES].rows.tolist() == list(range(200))
    assert found[GENES].figures(np.tile(sections[0].classes, 2))["accuracy"] > 0.95
    assert plain_guesses(sections[:1], np.zeros(100, np.int64), 2, harmony=False) == {}


def test_cells_whose_class_the_reference_lacks_are_not_guessed() -> None:
    rng = np.random.default_rng(0)
    known = replace(labelled("B", rng), classes=np.zeros(100, np.int64))
    found = plain_guesses([labelled("A", rng), known], np.repeat([0, 1], 100), 2, harmony=False)
    assert found[GENES].rows[:50].tolist() == list(range(50))
    assert len(found[GENES].rows) == 150


def test_voices_are_of_the_cell_and_of_its_like() -> None:
    both = csr_matrix(np.full((2, 2), 0.5))
    own, around = voices([np.log([[0.9, 0.1], [0.5, 0.5]])], both)
    np.testing.assert_allclose(np.exp(own), [[0.9, 0.1], [0.5, 0.5]])
    np.testing.assert_allclose(np.exp(around), [[0.7, 0.3]] * 2)


def test_neighbours_are_better_only_beyond_a_margin() -> None:
    head = trained()
    plain = PlainReading(1.0, 0.5, {"accuracy": 0.9}, head.calibrations["near"].held_out)
    assert plain.held_out.accuracy > 0.95
    assert plain.is_better
    level = plain.held_out.accuracy - LEAST_GAIN / 2
    assert not replace(plain, model={"accuracy": level}).is_better
    assert PlainReading.from_json(json.loads(json.dumps(plain.as_json()))) == plain


def test_a_named_taxonomy_is_taken_rather_than_one_that_holds_it() -> None:
    head = trained()
    merged = LabelHead("type", "A + B", ("a", "b"), (0, 1), 1, head)
    own = LabelHead("type", "A", ("a",), (0, 1), 2, head)
    model = SimpleNamespace(heads=(merged, own))
    stranger = [Near("b", 0.5, 0.5, 0.5)]
    assert head_for("type", model, stranger, "A") is own
    assert head_for("type", model, stranger, None) is merged
