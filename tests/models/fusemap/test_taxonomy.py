from __future__ import annotations

import numpy as np

from backend.models.fusemap.taxonomy import far_folds, near_folds, parts_of, taxonomies

FIVE = 5


def codes(*used: int) -> np.ndarray:
    return np.repeat(np.array(used, dtype=np.int16), FIVE)


def test_data_sets_with_the_same_names_share_a_taxonomy() -> None:
    found = taxonomies({"a": codes(0, 1, 2), "b": codes(1, 2), "c": codes(7, 8)},
                       {"a": "A", "b": "B", "c": "C"})  # fmt: skip
    assert [(t.name, t.sections, t.codes) for t in found] == [
        ("A + B", ("a", "b"), (0, 1, 2)),
        ("C", ("c",), (7, 8)),
    ]


def test_merged_taxonomy_has_one_part_per_data_set() -> None:
    of_section = {"a": codes(0, 1, 2), "b": codes(1, 2)}
    datasets = {"a": "A", "b": "B"}
    (merged,) = taxonomies(of_section, datasets)
    parts = parts_of(merged, of_section, datasets)
    assert [(p.name, p.sections, p.codes) for p in parts] == [
        ("A", ("a",), (0, 1, 2)),
        ("B", ("b",), (1, 2)),
    ]
    assert parts_of(parts[0], of_section, datasets) == ()


def test_rare_class_and_single_class_are_left_out() -> None:
    rare = np.r_[codes(0, 1), np.array([2], dtype=np.int16)]
    assert taxonomies({"a": rare}, {"a": "A"})[0].codes == (0, 1)
    assert taxonomies({"a": codes(3)}, {"a": "A"}) == ()


def test_near_folds_keep_every_data_set_in_the_training_part() -> None:
    datasets = ["A", "A", "B"]
    section_of = np.repeat([0, 1, 2], 100)
    xy = np.random.default_rng(0).random((300, 2)).astype(np.float32)
    fold, how = near_folds(datasets, section_of, xy)
    assert len(set(fold[:100])) == len(set(fold[100:200])) == 1
    assert fold[0] != fold[100]
    assert len(set(fold[200:])) == 4
    assert how == "held-out sections and held-out blocks of a section"


def test_far_folds_hold_out_whole_data_sets() -> None:
    found = far_folds(["A", "A", "B"], np.array([0, 1, 2, 2]))
    assert found is not None
    assert found[0].tolist() == [0, 0, 1, 1]
    assert far_folds(["A", "A"], np.array([0, 1])) is None
