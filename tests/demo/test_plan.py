"""The plan: symmetric, whole, hollow where it should be, and layered as a brain is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.demo.plan import locate
from backend.demo.regions import families, region_categories, region_codes, regions


def grid(z_mm: float, step: float = 60.0) -> tuple[NDArray, NDArray, NDArray]:
    x, y = np.meshgrid(np.arange(-5_580, 5_600, step), np.arange(0, 8_000, step))
    return x, y, np.full(x.shape, 1000 * z_mm)


def names_along(x: float, ys: NDArray, z_mm: float) -> list[str]:
    leaf = locate(np.full(ys.size, x), ys, np.full(ys.size, 1000 * z_mm)).leaf
    found = [regions()[code].name for code in leaf if code >= 0]
    return [name for i, name in enumerate(found) if i == 0 or name != found[i - 1]]


@pytest.mark.parametrize("z_mm", [1.3, -0.6, -1.9, -3.7, -6.1])
def test_hemispheres_mirror_each_other(z_mm: float) -> None:
    x, y, z = grid(z_mm)
    left, right = locate(-x, y, z), locate(x, y, z)
    assert np.array_equal(left.leaf, right.leaf)
    assert np.array_equal(left.layer, right.layer)
    assert (left.leaf >= 0).sum() > 1000


@pytest.mark.parametrize("z_mm", [1.3, -0.6, -1.9])
def test_holes_in_the_brain_are_lumen_or_fissure(z_mm: float) -> None:
    x, y, z = grid(z_mm)
    place = locate(x, y, z)
    leaf, lumen = place.leaf.reshape(x.shape), place.lumen.reshape(x.shape)
    first = (leaf >= 0).argmax(axis=0)
    last = leaf.shape[0] - 1 - (leaf[::-1] >= 0).argmax(axis=0)
    row = np.arange(leaf.shape[0])[:, None]
    within = (row > first) & (row < last) & (leaf >= 0).any(axis=0) & (np.abs(x) > 150)
    hollow = within & (leaf < 0) & ~lumen
    assert hollow.sum() < 0.004 * within.sum()  # the notch at the base is outside, not a lumen


def test_ventricle_lumen_is_empty_and_lined() -> None:
    y = np.arange(2_000.0, 5_000.0, 5.0)
    place = locate(np.full(y.size, 980.0), y, np.full(y.size, 300.0))
    inside = np.flatnonzero(place.lumen)
    assert inside.size > 50
    assert (place.leaf[inside] == -1).all()
    lining = region_codes()["Ventricle lining"]
    assert place.leaf[inside[0] - 1] == lining
    assert place.leaf[inside[-1] + 1] == lining


def test_layers_follow_one_another_from_the_surface() -> None:
    found = names_along(2_600.0, np.arange(500.0, 3_000.0, 10.0), -0.6)
    cortex = found[: found.index("Corpus callosum")]
    assert cortex == ["Meninges", "L1", "L2/3 somatosensory", "L4", "L5", "L6a", "L6b"]


def test_motor_cortex_has_no_layer_four() -> None:
    found = names_along(1_700.0, np.arange(500.0, 3_500.0, 10.0), 1.0)
    assert "L2/3 motor" in found
    assert "L4" not in found


def test_hippocampus_is_crossed_from_ca1_to_the_dentate_gyrus() -> None:
    found = names_along(900.0, np.arange(1_500.0, 3_200.0, 5.0), -1.9)
    wanted = ["Corpus callosum", "CA1 pyramidal", "Dentate granule"]
    assert [name for name in found if name in wanted][:3] == wanted


def test_points_far_outside_belong_nowhere() -> None:
    place = locate([9_000.0, 0.0, 0.0], [4_000.0, -500.0, 4_000.0], [0.0, 0.0, 9_000.0])
    assert place.leaf.tolist() == [-1, -1, -1]
    assert not place.lumen.any()


def test_every_region_occurs_somewhere() -> None:
    found = np.unique(np.concatenate([locate(*grid(z)).leaf for z in np.arange(-7.0, 4.2, 0.25)]))
    missing = [r.name for code, r in enumerate(regions()) if code not in found]
    assert missing == []


def test_leaves_have_unique_names_and_known_parents() -> None:
    parents = {family.name for family in families()}
    assert len({r.name for r in regions()}) == len(regions())
    assert {r.parent for r in regions()} == parents
    assert len(parents) == 13


def test_colours_of_regions_differ() -> None:
    colours = [c.colour for c in region_categories()]
    assert len(set(colours)) == len(colours)
