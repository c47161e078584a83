"""The simulated multi-omics section: blind modalities, and the file that is offered as example."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.core.settings import Limits
from backend.demo import multiomics
from backend.intake.modalities import look_at_modalities


def test_a_blind_modality_does_not_tell_its_shape_from_the_background() -> None:
    made = multiomics.simulate(multiomics.two_modalities(1), seed=1)
    protein = next(m for m in made.section.modalities if m.name == "protein")
    means = [np.asarray(protein.values[made.truth == k].mean()) for k in range(5)]
    assert means[2] > means[0] + 1
    assert abs(means[1] - means[0]) < 0.3


def test_the_same_seed_gives_the_same_section() -> None:
    a, b = (multiomics.simulate(multiomics.two_modalities(1), seed=3).section for _ in range(2))
    assert (a.modalities[0].values != b.modalities[0].values).nnz == 0


def test_the_example_file_holds_both_modalities_and_the_shapes(tmp_path: Path) -> None:
    multiomics.write_demo(tmp_path / "example.h5ad")
    found = look_at_modalities([tmp_path / "example.h5ad"], Limits())
    assert [m["kind"] for m in found.modalities] == ["rna", "protein"]
    assert found.n_spots == 1296
    assert found.labels == (("region", 5),)
    assert [p.name for p in tmp_path.iterdir()] == ["example.h5ad"]
