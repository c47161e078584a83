from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.models.inspire.align import (
    STILL,
    chain,
    expression_score,
    kabsch,
    lay,
    mutual_pairs,
    refine,
    type_score,
)


def _turned(degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


def test_the_rigid_fit_is_the_golden_one() -> None:
    a = np.array([[0, 0], [1, 0], [0, 1], [2, 2]], dtype=float)
    b = np.array([[1, 1], [1, 2], [0, 1], [-1, 3.1]])
    found = kabsch(a, b)
    expected = [[0.022217, -0.999753], [0.999753, 0.022217]]
    np.testing.assert_allclose(found.rotation, expected, atol=1e-6)
    np.testing.assert_allclose(found.translation, [0.983152, 1.008523], atol=1e-6)


def test_the_rigid_fit_does_not_mirror() -> None:
    a = np.array([[0, 0], [2, 0], [0, 1]], dtype=float)
    found = kabsch(a, a * [1, -1])
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)


def test_movements_follow_one_another() -> None:
    first, second = kabsch(np.eye(2), np.eye(2) + 1), kabsch(np.eye(2), np.eye(2) @ _turned(90).T)
    xy = np.array([[3.0, 4.0]])
    np.testing.assert_allclose(second.after(first).move(xy), second.move(first.move(xy)))


def test_only_pairs_that_choose_one_another_are_anchors() -> None:
    a, b = np.array([[0.0], [10.0]]), np.array([[1.0], [2.0]])
    # The second of a chooses the second of b, which chooses the first of a.
    assert mutual_pairs(a, b).tolist() == [[0, 0]]


def _tissue(seed: int, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 1000, (n, 2))
    u = xy / 1000
    z = np.stack([u[:, 0], u[:, 1], np.sin(5 * u[:, 0]), np.cos(4 * u[:, 1])], axis=1)
    return xy, z + rng.normal(0, 0.02, z.shape)


@pytest.mark.parametrize("degrees", [0.0, 35.0, 160.0])
def test_a_turned_section_is_laid_back(degrees: float) -> None:
    (xy, z), (onto, onto_z) = _tissue(0), _tissue(1)
    moved = (xy - 500) @ _turned(degrees).T + [2000, -300]
    found = lay(moved, z, onto, onto_z)
    assert np.median(np.linalg.norm(found.rigid.move(moved) - xy, axis=1)) < 15
    assert found.kept < found.anchors


def test_half_a_section_is_laid_on_the_whole() -> None:
    (xy, z), (onto, onto_z) = _tissue(2), _tissue(3)
    half = xy[:, 0] < 500
    moved = xy[half] @ _turned(-70).T + 123
    found = lay(moved, z[half], onto, onto_z)
    assert np.median(np.linalg.norm(found.rigid.move(moved) - xy[half], axis=1)) < 20


def test_landmarks_refine_a_rough_fit() -> None:
    rng = np.random.default_rng(4)
    ring = np.stack([np.cos(t := rng.uniform(0, 5, 200)), 0.5 * np.sin(t)], axis=1) * 400
    moved = ring @ _turned(12).T + 30
    found = refine(moved, ring, STILL)
    assert np.median(np.linalg.norm(found.move(moved) - ring, axis=1)) < 5


def test_a_stack_is_laid_one_after_another() -> None:
    tissues = [_tissue(s) for s in range(4)]
    places = [(xy - 500) @ _turned(25 * s).T for s, (xy, _) in enumerate(tissues)]
    laid = chain(places, [z for _, z in tissues])
    for step, place, (xy, _) in zip(laid, places, tissues, strict=True):
        assert np.median(np.linalg.norm(step.rigid.move(place) + 500 - xy, axis=1)) < 30


def test_scores_are_one_for_a_section_on_itself() -> None:
    xy = np.stack(np.meshgrid(np.arange(5), np.arange(4)), -1).reshape(-1, 2).astype(float)
    counts = csr_matrix(np.random.default_rng(5).poisson(3, (20, 30)).astype(float))
    assert expression_score(xy, counts, xy, counts) == pytest.approx(1.0)
    types = np.arange(20) % 3
    assert type_score(xy, types, xy, types) == pytest.approx(1.0)
    assert type_score(xy, types, xy, types + 10) == pytest.approx(0.0)
