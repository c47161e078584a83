from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from backend.core.data import SectionData, TaskResult
from backend.core.job import RunContext
from backend.models.common.checkpoint import Checkpoint
from backend.models.fusemap.model import Model, from_checkpoint
from backend.models.fusemap.plain_labels import GENES, MODEL
from backend.models.fusemap.switch import Prefer, References
from backend.models.fusemap.tasks import AnnotateParams, annotate
from tests.models.simulated import Simulation


def with_plain_accuracy(model: Model, gain: float) -> Model:
    """Pretend that neighbours were right more often than the model on held-out cells."""
    heads = []
    for labelled in model.heads:
        calibrations = {}
        for name, c in labelled.head.calibrations.items():
            assert c.plain is not None
            beside = {"accuracy": c.plain.held_out.accuracy - gain, "macro_f1": 0.5}
            calibrations[name] = replace(c, plain=replace(c.plain, model=beside))
        heads.append(replace(labelled, head=replace(labelled.head, calibrations=calibrations)))
    return replace(model, heads=tuple(heads))


@pytest.fixture(scope="module")
def model(checkpoint: Checkpoint) -> Model:
    return from_checkpoint(checkpoint)


@pytest.fixture(scope="module")
def atlas(simulation: Simulation) -> References:
    known = {s.id: s for s in simulation.sections}

    def load(ids: Sequence[str]) -> list[SectionData]:
        return [known[i] for i in ids]

    return load


def annotated(
    simulation: Simulation, model: Model, prefer: Prefer, atlas: References | None
) -> TaskResult:
    params = AnnotateParams(("type",), prefer=prefer)
    return annotate([simulation.sections[2]], params, model, RunContext(), atlas)


def method(result: TaskResult) -> tuple[str, str]:
    (figures,) = result.figures.values()
    about = figures["labels"]["type"]
    return about["method"], about["why"]


def test_neighbours_label_where_they_were_better_on_held_out_cells(
    simulation: Simulation, model: Model, atlas: References
) -> None:
    result = annotated(simulation, with_plain_accuracy(model, 0.05), "auto", atlas)
    name, why = method(result)
    assert name == GENES
    assert why.startswith("right more often on held-out cells")
    (figures,) = result.figures.values()
    assert MODEL in figures["labels"]["type"]["held_out"]["baselines"]
    table = next(m.values for m in result.matrices if m.name == "probability:type")
    np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-5)
    assert (table.argmax(axis=1) == simulation.types[2]).mean() > 0.5


def test_model_labels_where_neighbours_gain_less_than_the_margin(
    simulation: Simulation, model: Model, atlas: References
) -> None:
    result = annotated(simulation, with_plain_accuracy(model, 0.005), "auto", atlas)
    assert method(result)[0] == MODEL
    (figures,) = result.figures.values()
    compared = figures["labels"]["type"]["compared"]
    assert compared[GENES]["accuracy"] - compared[MODEL]["accuracy"] == pytest.approx(0.005)


def test_preference_outweighs_held_out_cells(
    simulation: Simulation, model: Model, atlas: References
) -> None:
    assert method(annotated(simulation, model, "knn", atlas))[0] == GENES
    better = with_plain_accuracy(model, 0.05)
    assert method(annotated(simulation, better, "model", atlas)) == (MODEL, "asked for")


def test_model_labels_where_labelled_cells_are_not_at_hand(
    simulation: Simulation, model: Model
) -> None:
    better = with_plain_accuracy(model, 0.05)
    assert method(annotated(simulation, better, "auto", None)) == (
        MODEL,
        "the labelled cells are not at hand",
    )
