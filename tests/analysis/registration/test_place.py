import numpy as np
import pytest

from backend.analysis.registration.corrections import Correction
from backend.analysis.registration.outline import tissue_of
from backend.analysis.registration.place import CannotPlace, Known
from backend.analysis.registration.section import held_out, register_section
from tests.analysis.registration.planted import bent, cells_at, coronal, turned


def _error(found, uv):
    return float(np.median(np.hypot(*(found.uv - uv).T)))


@pytest.mark.parametrize(
    ("degrees", "mirrored"), [(0.0, False), (140.0, False), (-65.0, True)],
    ids=["upright", "turned", "mirrored"],
)  # fmt: skip
def test_a_bent_and_turned_section_is_laid_back_in_place(degrees, mirrored):
    uv, codes = cells_at(3000.0)
    xy = turned(bent(uv), degrees, mirrored, scale=0.93)
    known = Known(3000.0, fixed=True, mirrored=mirrored)
    found = register_section(xy, codes, coronal(), known)
    assert _error(found, uv) < 80.0
    assert found.scores.agreement["smooth"] > found.scores.agreement["start"]
    assert found.scores.agreement["smooth"] > 0.9
    assert found.scores.dice > 0.95
    assert found.scores.jacobian[0] > 0
    assert found.consistency_um < 100.0
    assert found.scores.grade == "good"


def test_the_slice_is_found_along_the_axis():
    uv, codes = cells_at(3700.0)
    found = register_section(
        turned(uv, 20.0), codes, coronal(), Known(between=(2400, 4400)), check_back=False
    )
    assert abs(found.placement.position_um - 3700.0) <= 200.0
    low, high = found.placement.position_range
    assert low <= found.placement.position_um <= high


def test_a_window_keeps_its_size_and_finds_its_place():
    uv, codes = cells_at(3000.0, n=20_000)
    inside = (np.abs(uv - np.array([5000.0, 2200.0])) < 700).all(axis=1)
    uv, codes = uv[inside], codes[inside]
    known = Known(3000.0, part="window", fixed=True, mirrored=False)
    found = register_section(turned(uv, 75.0), codes, coronal(), known, check_back=False)
    scale = np.linalg.svd(found.placement.affine.matrix, compute_uv=False)
    assert (np.abs(scale - 1) < 0.09).all()
    assert _error(found, uv) < 100.0


def test_one_half_of_a_slice_is_laid_on_that_half():
    uv, codes = cells_at(3000.0, n=8000)
    right = uv[:, 0] > 3900.0
    known = Known(3000.0, fixed=True, mirrored=False)
    xy = turned(uv[right], 0.0)
    found = register_section(xy, codes[right], coronal(), known, check_back=False)
    assert found.placement.part == "right"
    assert _error(found, uv[right]) < 60.0


def test_a_nudge_is_the_last_word():
    uv, codes = cells_at(3000.0)
    known = Known(3000.0, fixed=True, mirrored=False)
    plain = register_section(uv, codes, coronal(), known, check_back=False)
    said = Correction(rotate_deg=90.0, shift_right_um=500.0)
    moved = register_section(uv, codes, coronal(), known, said, check_back=False)
    np.testing.assert_allclose(
        moved.uv.mean(axis=0), plain.uv.mean(axis=0) + [500.0, 0.0], atol=1.0
    )
    before, after = plain.uv - plain.uv.mean(axis=0), moved.uv - moved.uv.mean(axis=0)
    np.testing.assert_allclose(after, np.column_stack([-before[:, 1], before[:, 0]]), atol=1.0)


def test_landmarks_pull_a_section_that_has_no_regions():
    uv, codes = cells_at(3000.0)
    xy = turned(uv, 180.0)
    corners = [int(np.argmin(np.hypot(*(uv - g).T))) for g in
               ([1500, 3000], [6500, 3000], [4000, 1200], [4000, 5000])]  # fmt: skip
    pairs = tuple((*map(float, xy[i]), *map(float, uv[i])) for i in corners)
    known = Known(3000.0, fixed=True)
    said = Correction(landmarks=pairs)
    found = register_section(xy, np.full_like(codes, -1), coronal(), known, said, check_back=False)
    assert _error(found, uv) < 120.0
    assert found.scores.agreement is None
    assert found.scores.grade == "poor"


def test_hidden_regions_are_met_without_being_used():
    uv, codes = cells_at(3000.0)
    hidden = held_out(turned(bent(uv), 0.0), codes, coronal(), Known(3000.0, fixed=True))
    assert hidden is not None
    assert hidden["n_cells"] == int((codes >= 0).sum())
    assert hidden["agreement"]["affine"] > 0.75


def test_three_regions_are_too_few_to_hide_half():
    uv, codes = cells_at(3000.0)
    few = np.where(codes < 3, codes, -1)
    assert held_out(uv, few, coronal(), Known(3000.0, fixed=True)) is None


def test_a_handful_of_cells_is_refused():
    with pytest.raises(CannotPlace, match="Give 50 or more"):
        register_section(np.zeros((5, 2)), np.zeros(5, int), coronal(), Known())


def test_a_window_says_nothing_about_what_lies_around_it():
    xy = np.random.default_rng(0).uniform(0, 1000, (2000, 2))
    assert not tissue_of(xy, window=True).surround.any()
    assert tissue_of(xy, window=False).surround.any()
