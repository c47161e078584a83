import gzip
import json

import numpy as np
import pytest

from backend.analysis.registration.planes import (
    CORONAL,
    SAGITTAL,
    in_space,
    plane_along,
    position_along,
)
from backend.analysis.registration.reference import LABELS, TREE, Reference, load_reference
from backend.analysis.registration.slices import Slices
from backend.analysis.registration.terms import match_names, parse_terms
from backend.core.errors import BadFile, BadRequest
from tests.analysis.registration.planted import brain, coronal


def _node(acronym, name, labels, *children):
    return {
        "acronym": acronym,
        "name": name,
        "label": labels,
        "children": {child["name"]: child for child in children},
    }


@pytest.fixture
def folder(tmp_path):
    """A volume of 2 x 3 x 4 voxels (z up, y forwards, x right) with one labelled corner."""
    volume = np.zeros((2, 3, 4), np.int16)
    volume[1, 2, 0] = 7  # top, front, left
    axes = {
        "zspace": {"start": 5.1, "step": 0.2},
        "yspace": {"start": 4.9, "step": 0.2},
        "xspace": {"start": -5.7, "step": 0.2},
    }
    text = np.array(["zspace,yspace,xspace", json.dumps(axes)])
    np.savez(
        tmp_path / LABELS,
        DSURQE_CCFv3_labels_200um=volume,
        DSURQE_CCFv3_labels_200um_axes=text,
    )
    left, right = _node("lTH", "left Thalamus", [7]), _node("rTH", "right Thalamus", [8])
    tree = {"msg": [_node("root", "root2", [7, 8], _node("TH", "Thalamus", [7, 8], left, right))]}
    with gzip.open(tmp_path / TREE, "wt") as file:
        json.dump(tree, file)
    return tmp_path


def test_the_volume_is_turned_to_back_down_and_right(folder):
    reference = load_reference(folder)
    assert reference.labels.shape == (3, 2, 4)
    assert reference.labels[0, 0, 0] == 7
    np.testing.assert_allclose(reference.start_um, (0.0, 0.0, 0.0), atol=1e-6)


def test_sides_of_the_brain_are_one_region(folder):
    reference = load_reference(folder)
    assert [acronym for acronym, *_ in reference.tree] == ["root", "TH"]
    assert reference.spellings["thalamus"] == "TH"


def test_a_folder_without_the_files_is_named(tmp_path):
    with pytest.raises(BadFile, match="--reference DIR"):
        load_reference(tmp_path)


def test_a_damaged_volume_is_refused(folder):
    (folder / LABELS).write_bytes(b"PK nothing")
    with pytest.raises(BadFile, match=LABELS):
        load_reference(folder)


def test_names_of_the_tree_are_found_and_emptied_names_are_not():
    found = match_names(["The core", "rod", "gravel", "spots"], {"spots": ""}, brain())
    assert {name: terms[0].acronym for name, terms in found.items()} == {
        "The core": "core",
        "rod": "rod",
    }


def test_terms_that_the_reference_lacks_are_refused():
    with pytest.raises(BadRequest, match="no region 'tail'"):
        parse_terms("core, tail", brain())
    with pytest.raises(BadRequest, match="no cortical layer 'L9'"):
        parse_terms("core@L9", brain())


def test_depth_runs_from_the_surface_to_the_white_matter():
    labels = np.zeros((1, 12, 60), np.int16)
    labels[:, 1:9] = 1
    labels[:, 9:11] = 2
    tree = (("root", "root", "", (1, 2)), ("Isocortex", "Isocortex", "root", (1,)),
            ("fiber tracts", "fiber tracts", "root", (2,)))  # fmt: skip
    depth = Reference(np.repeat(labels, 31, axis=0), tree).depth[15, :, 15]
    assert np.isnan(depth[[0, 10]]).all()
    assert (np.diff(depth[1:9]) >= 0).all()
    assert depth[1] < 0.2
    assert depth[8] > 0.8


def test_a_slice_between_two_voxels_lies_between_them():
    sizes = [coronal().picture(p, 50.0).masks[1].sum() for p in (1000.0, 1100.0, 1200.0)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_one_side_of_a_picture_ends_at_the_midline():
    whole, left = (coronal().picture(3000.0, 100.0, part) for part in ("whole", "left"))
    assert 0.45 < left.tissue.sum() / whole.tissue.sum() < 0.55
    assert left.centres(left.tissue)[:, 0].max() <= coronal().middle


def test_the_midline_runs_through_coronal_slices_only():
    midline = parse_terms("midline", brain())
    across = Slices(brain(), CORONAL, [midline]).picture(3000.0, 50.0)
    assert np.ptp(across.centres(across.masks[0])[:, 0]) <= 150.0
    along = Slices(brain(), SAGITTAL, [midline]).picture(3000.0, 50.0)
    assert not along.masks[0].any()


def test_axes_of_cutting_name_planes_and_bregma_names_places():
    assert plane_along("bregma") is CORONAL
    assert plane_along("") is None
    assert position_along("bregma", -0.6) == 6000.0
    assert position_along("anteroposterior", 1.0) is None


def test_a_plane_lies_across_its_axis():
    np.testing.assert_array_equal(in_space(CORONAL, [[1.0, 2.0]], 9.0), [[9.0, 2.0, 1.0]])
    np.testing.assert_array_equal(in_space(SAGITTAL, [[1.0, 2.0]], 9.0), [[1.0, 2.0, 9.0]])
