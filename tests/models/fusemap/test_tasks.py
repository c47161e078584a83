from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.core.data import Label, SectionData
from backend.core.errors import (
    BadCheckpoint,
    Cancelled,
    NoSharedGenes,
    TooFewCells,
    UnknownGene,
    UnknownLayer,
)
from backend.core.job import RunContext
from backend.core.layers import MISSING, LayerKey
from backend.models.common.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from backend.models.fusemap.model import from_checkpoint, to_checkpoint
from backend.models.fusemap.tasks import AnnotateParams, annotate, embed, impute
from backend.models.fusemap.train import TrainParams, train
from tests.models.fusemap.conftest import QUICK
from tests.models.simulated import Simulation


def cells(section: SectionData, rows: np.ndarray) -> SectionData:
    labels = {n: Label(label.codes[rows], label.categories) for n, label in section.labels.items()}
    return replace(
        section,
        id=f"{section.id}-part",
        xy=section.xy[rows],
        counts=section.counts[rows],
        names=section.names[rows],
        labels=labels,
    )


def column(result, kind: str, name: str) -> np.ndarray:
    return next(c.values for c in result.columns if c.layer == LayerKey(kind, name))


def test_same_seed_gives_the_same_checkpoint(simulation: Simulation, checkpoint) -> None:
    again = train(simulation.sections[:2], QUICK, RunContext())
    assert again.tensors.keys() == checkpoint.tensors.keys()
    for name, values in again.tensors.items():
        np.testing.assert_array_equal(values, checkpoint.tensors[name])


def test_checkpoint_on_disk_gives_the_same_answers(
    simulation: Simulation, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "c", checkpoint)
    loaded = load_checkpoint(tmp_path / "c")
    query = simulation.sections[2]
    np.testing.assert_array_equal(embed(query, checkpoint).z, embed(query, loaded).z)
    again = to_checkpoint(from_checkpoint(loaded))
    for name, values in checkpoint.tensors.items():
        np.testing.assert_array_equal(values, again.tensors[name])


def test_checkpoint_without_a_tensor_is_refused(checkpoint: Checkpoint) -> None:
    tensors = {k: v for k, v in checkpoint.tensors.items() if k != "space/0/embedding"}
    with pytest.raises(BadCheckpoint, match="space/0/embedding"):
        from_checkpoint(Checkpoint(checkpoint.card, tensors))


def test_interrupted_training_ends_as_the_uninterrupted(
    simulation: Simulation, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    params = replace(QUICK, save_every=5)
    steps = []

    def report(_: float, message: str) -> None:
        steps.append(message)

    def cancelled() -> bool:
        return "Fitting factors, 12 of 30" in steps

    with pytest.raises(Cancelled):
        train(
            simulation.sections[:2],
            params,
            RunContext(report=report, cancelled=cancelled),
            tmp_path / "state",
        )
    assert (tmp_path / "state" / "k6" / "state.json").exists()
    steps.clear()
    ctx = RunContext(report=report)
    resumed = train(simulation.sections[:2], params, ctx, tmp_path / "state")
    assert "Fitting factors, 11 of 30" in steps
    assert "Fitting factors, 9 of 30" not in steps
    assert not (tmp_path / "state").exists()
    for name, values in checkpoint.tensors.items():
        np.testing.assert_array_equal(values, resumed.tensors[name])


def test_state_of_other_data_is_not_gone_on_from(simulation: Simulation, tmp_path: Path) -> None:
    params = replace(QUICK, save_every=5)
    seen: list[str] = []
    ctx = RunContext(
        report=lambda _, m: seen.append(m), cancelled=lambda: "Fitting factors, 12 of 30" in seen
    )
    with pytest.raises(Cancelled):
        train(simulation.sections[:2], params, ctx, tmp_path / "state")
    seen.clear()
    train(
        simulation.sections[1:], params, RunContext(report=lambda _, m: seen.append(m)),
        tmp_path / "state",
    )  # fmt: skip
    assert "Fitting factors, 1 of 30" in seen


def test_training_section_as_query_gets_nearly_the_same_place(
    simulation: Simulation, checkpoint: Checkpoint
) -> None:
    section = simulation.sections[0]
    trained = embed(section, checkpoint).z
    query = embed(replace(section, id="renamed"), checkpoint).z
    for a, b in zip(trained.T, query.T, strict=True):
        assert np.corrcoef(a, b)[0, 1] > 0.98


def test_types_and_regions_of_an_unseen_panel_are_found(
    simulation: Simulation, checkpoint: Checkpoint
) -> None:
    result = annotate([simulation.sections[2]], AnnotateParams(), checkpoint, RunContext())
    for label, truth, least in (("type", simulation.types[2], 0.85),
                                ("region", simulation.regions[2], 0.7)):  # fmt: skip
        best = next(m for m in result.matrices if m.name == f"probability:{label}").values
        assert (best.argmax(axis=1) == truth).mean() > least
        assert (column(result, "confidence", label) <= 1).all()


def test_unseen_type_is_less_confident_than_known_ones(simulation: Simulation) -> None:
    unseen = 0
    kept = [
        cells(s, np.flatnonzero(kind != unseen))
        for s, kind in zip(simulation.sections[:2], simulation.types[:2], strict=True)
    ]
    trained = train(kept, QUICK, RunContext())
    result = annotate([simulation.sections[2]], AnnotateParams(("type",)), trained, RunContext())
    confidence, is_new = column(result, "confidence", "type"), simulation.types[2] == unseen
    assert np.median(confidence[is_new]) < np.median(confidence[~is_new]) - 0.1
    codes = column(result, "label", "type")
    assert (codes[is_new] == MISSING).mean() > (codes[~is_new] == MISSING).mean() + 0.2


def test_stricter_error_leaves_more_unassigned(
    simulation: Simulation, checkpoint: Checkpoint
) -> None:
    shares = []
    for error in (0.3, 0.02):
        params = AnnotateParams(("region",), error=error)
        result = annotate([simulation.sections[2]], params, checkpoint, RunContext())
        shares.append((column(result, "label", "region") == MISSING).mean())
    assert shares[0] < shares[1]


def test_one_cell_is_refused_with_the_number_needed(
    simulation: Simulation, checkpoint: Checkpoint
) -> None:
    with pytest.raises(TooFewCells, match="has 1 cells; at least 10"):
        embed(cells(simulation.sections[2], np.array([0])), checkpoint)


def test_small_query_borrows_statistics_and_is_still_annotated(
    simulation: Simulation, checkpoint: Checkpoint
) -> None:
    kind = simulation.types[2]
    one_type = cells(simulation.sections[2], np.flatnonzero(kind == kind[0])[:40])
    result = annotate([one_type], AnnotateParams(("type",)), checkpoint, RunContext())
    figures = result.figures[one_type.id]
    assert figures["borrowed_statistics_of"] in ("s0", "s1")
    best = next(m for m in result.matrices if m.name == "probability:type").values
    assert (best.argmax(axis=1) == kind[0]).mean() > 0.6


def test_query_without_shared_genes_is_refused_with_examples(
    simulation: Simulation, checkpoint: Checkpoint
) -> None:
    query = simulation.sections[2]
    strange = replace(query, genes=tuple(f"ENSG{i}" for i in range(len(query.genes))))
    with pytest.raises(NoSharedGenes, match="Use gene symbols as the atlas does, for example Gene"):
        embed(strange, checkpoint)


def test_gene_that_only_the_query_has_is_learnt_on_its_cells(
    simulation: Simulation, checkpoint: Checkpoint
) -> None:
    result = annotate([simulation.sections[2]], AnnotateParams(("type",)), checkpoint, RunContext())
    table = next(m for m in result.matrices if m.name == "gene:new")
    z = next(m for m in result.matrices if m.name == "embedding:cell").values
    assert len(table.columns) == 160
    counts = simulation.sections[2].counts.toarray()
    own = [simulation.sections[2].genes.index(g) for g in table.columns]
    predicted = z @ table.values[:-1] + table.values[-1]
    pairs = zip(predicted.T, np.log1p(counts[:, own]).T, strict=True)
    assert np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs]) > 0.25


def test_imputed_genes_follow_unmeasured_counts(
    simulation: Simulation, checkpoint: Checkpoint
) -> None:
    unmeasured = simulation.panels[1][40:]
    names = [f"gene{g}" for g in unmeasured]
    values = impute(simulation.sections[0], names, checkpoint, RunContext()).matrices[0].values
    truth = np.log1p(simulation.full[0][:, unmeasured])
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(values.T, truth.T, strict=True) if a.std() > 0]
    assert np.mean(r) > 0.25
    assert values.min() >= 0


def test_unknown_names_are_refused_with_a_hint(
    simulation: Simulation, checkpoint: Checkpoint
) -> None:
    with pytest.raises(UnknownGene, match="Did you mean Gene"):
        impute(simulation.sections[0], ["Gene1x"], checkpoint, RunContext())
    with pytest.raises(UnknownLayer, match="Did you mean region"):
        annotate(simulation.sections[2:], AnnotateParams(("regoin",)), checkpoint, RunContext())


def test_sections_without_expression_cannot_be_trained_on(simulation: Simulation) -> None:
    s = simulation.sections[0]
    with pytest.raises(TooFewCells, match="expression"):
        train([replace(s, counts=s.counts[:, :0], genes=())], TrainParams(), RunContext())


def test_nearest_section_of_a_training_section_renamed_is_itself(
    simulation: Simulation, checkpoint: Checkpoint
) -> None:
    query = replace(simulation.sections[1], id="renamed")
    ranked = annotate([query], AnnotateParams(("type",)), checkpoint, RunContext())
    assert ranked.figures["renamed"]["nearest"][0]["section"] == "s1"


def test_card_says_what_it_was_trained_on(simulation: Simulation, checkpoint: Checkpoint) -> None:
    assert [d["section"] for d in checkpoint.card["data"]] == ["s0", "s1"]
    assert checkpoint.card["params"]["k"] == 6
    assert set(checkpoint.card["licences"]) == {"s0", "s1"}
