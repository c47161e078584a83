from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, identity

from backend.models.fusemap.head_data import Folds, HeadData, views_of
from backend.models.fusemap.head_training import train_head
from backend.models.fusemap.heads import Head, predict
from backend.models.fusemap.left_out import Part, Refit, Task, learnt_weights, weights_of
from backend.models.fusemap.novelty import SIGNS, USUAL, Known, Novelty, Places, signs_of
from backend.models.fusemap.reader import Scale
from tests.models.fusemap.test_heads import cells, prepared


def test_distance_is_to_the_nearest_class_that_has_cells() -> None:
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 2], 500)
    x = rng.normal(size=(1000, 2)) * [1.0, 3.0] + 10 * (classes[:, None] == 2)
    places = Places.of(x, classes, 3)
    near = places.distance(np.array([[0.0, 0.0], [10.0, 10.0], [0.0, 3.0], [1.0, 0.0]]))
    np.testing.assert_allclose(near, [0, 0, 1, 1], atol=0.2)


def test_signs_of_cell_and_of_its_like() -> None:
    x = np.array([[0.0], [4.0]])
    both = csr_matrix(np.full((2, 2), 0.5))
    one = np.ones((2, 2)) * np.log([[0.5], [0.125]])
    places = Places(np.array([[0.0]]), np.eye(1))
    known = Known(places, places, places, places)
    found = dict(
        zip(SIGNS, signs_of(one, (x, x), known, np.array([0.0, 7.0]), both).T, strict=True)
    )
    np.testing.assert_allclose(found["lack of evidence"], -np.log([1.0, 0.25]), atol=1e-12)
    np.testing.assert_allclose(found["lack of evidence, alike"], [np.log(2)] * 2)
    np.testing.assert_allclose(found["doubt"], [np.log(2)] * 2)
    np.testing.assert_allclose(found["distance"], [0, 16])
    np.testing.assert_allclose(found["distance on the map, alike"], [4, 4])
    assert found["unexplained, alike"].tolist() == [0, 7]


def test_weights_go_to_the_sign_that_tells_new_cells() -> None:
    rng = np.random.default_rng(0)
    known, new = rng.normal(size=(300, len(SIGNS))), rng.normal(size=(50, len(SIGNS)))
    new[:, SIGNS.index("distance")] += 4
    weights = weights_of([Task(new, known)])
    assert int(np.argmax(weights)) == SIGNS.index("distance")
    np.testing.assert_allclose(sum(weights), sum(USUAL))
    assert min(weights) >= 0


def test_novelty_of_the_usual_cell_is_nought() -> None:
    signs = np.random.default_rng(0).normal(5, 2, size=(400, len(SIGNS)))
    signs[:, -1] = 0
    novelty = Novelty.learnt(USUAL, signs)
    usual = np.median(signs, axis=0, keepdims=True)
    np.testing.assert_allclose(novelty.of(usual), 0, atol=1e-12)
    assert novelty.of(usual + 10)[0] > 1


def four_kinds() -> tuple[HeadData, Refit]:
    """One section of twelve genes: each kind has three of its own."""
    rng = np.random.default_rng(0)
    classes = np.tile(np.arange(4), 60)
    y = rng.normal(size=(240, 12)) + 3 * (np.arange(12) // 3 == classes[:, None])
    nobody, own = csr_matrix((240, 240)), csr_matrix(identity(240))
    part = Part("a", "A", prepared(y), nobody, own)
    data = HeadData(
        cells(y),
        classes,
        np.zeros(240, np.int64),
        Scale.of(np.concatenate([y, y], axis=1)),
        4,
        False,
    )
    return data, Refit([part], 12, (3, 3), 4)


def test_classes_are_left_out_and_their_cells_are_told() -> None:
    data, refit = four_kinds()
    folds = Folds(np.arange(240) // 120, "halves", {})
    weights = learnt_weights(data, folds, views_of(data, folds), refit)
    assert set(weights) == {"near", "far", "alone"}
    assert USUAL not in weights.values()
    head: Head = train_head(data, 0.1, folds, None, refit)
    assert set(head.known) == {"near", "far", "alone"}
    assert head.calibrations["near"].novelty.weights == weights["near"]
    known = data.cells.own[:40]
    strange = np.concatenate([known, np.full((40, known.shape[1]), 3.0)])
    said = predict(head, cells(strange[:, :12]), own_scale=False)
    assert said.novelty[40:].min() > np.median(said.novelty[:40])
    assert said.novel[40:].mean() > said.novel[:40].mean() + 0.5


def test_two_classes_are_too_few_to_leave_one_out() -> None:
    data, refit = four_kinds()
    few = HeadData(
        data.cells, data.classes % 2, data.section, data.scale, data.n_classes, data.of_places
    )
    folds = Folds(np.arange(240) // 120, "halves", {})
    assert learnt_weights(few, folds, views_of(few, folds), refit) == {}
