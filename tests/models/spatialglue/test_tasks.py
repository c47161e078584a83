from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.core.errors import BadCheckpoint, BadRequest, Cancelled
from backend.core.job import RunContext
from backend.core.layers import LayerKey
from backend.demo.multiomics import Simulated, without
from backend.models.common.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from backend.models.spatialglue.card import CARD, HOW_TO_READ
from backend.models.spatialglue.model import from_checkpoint
from backend.models.spatialglue.tasks import (
    IntegrateParams,
    Run,
    integrate_modalities,
    result_of,
    run,
    trained_checkpoint,
)
from tests.models.spatialglue.conftest import QUICK


def _right(run: Run, made: Simulated) -> float:
    """Smallest share, over shapes, of spots where all that see a shape outweigh all blind."""
    names = [m.name for m in run.joined.modalities]
    shares = []
    for shape in range(1, 5):
        sees = np.array([shape in made.sees[n] for n in names])
        weight = run.weights.weight[made.truth == shape]
        shares.append((weight[:, sees].min(axis=1) > weight[:, ~sees].max(axis=1)).mean())
    return float(min(shares))


def test_shapes_are_found_and_credited_to_the_modality_that_sees_them(
    pair: Simulated, pair_run: Run
) -> None:
    assert pair_run.figures["model"]["ari"] > 0.98
    assert _right(pair_run, pair) > 0.95
    assert pair_run.figures["baselines"]["rna alone"]["ari"] < 0.8
    assert [m["axes"] for m in pair_run.figures["modalities"]] == [3, 1]
    np.testing.assert_allclose(pair_run.weights.weight.sum(axis=1), 1, rtol=1e-5)


def test_three_modalities_share_what_two_of_them_see(triple: Simulated) -> None:
    found = run([triple.section], replace(QUICK, seeds=1), RunContext())
    assert found.figures["model"]["ari"] > 0.98
    assert _right(found, triple) > 0.95
    third = found.weights.weight[triple.truth == 3].mean(axis=0)
    np.testing.assert_allclose(third[:2], 0.46, atol=0.05)


def test_a_result_has_every_column_in_every_spot(pair: Simulated, pair_run: Run) -> None:
    result = result_of([pair.section], QUICK, pair_run, 3)
    columns = {str(c.layer): c for c in result.columns}
    for name in ("rna", "protein"):
        for suffix in ("", ".spread", ".attention", ".within", ".ablation", ".energy"):
            assert np.isfinite(columns[f"weight:{name}{suffix}"].values).all()
    domain = columns["label:domain"]
    sizes = np.bincount(domain.values)
    assert np.all(np.diff(sizes) <= 0)
    assert len(domain.categories) == 5
    assert columns["confidence:domain"].values.min() > 0
    assert len([c for c in columns if c.startswith("label:baseline")]) == 5
    assert set(HOW_TO_READ) >= {"weight", "bits", "attention", "ablation", "energy"}
    assert result.figures["how_to_read"] == HOW_TO_READ
    assert result.provenance is not None
    assert result.provenance.model == CARD.name


def test_the_same_seed_gives_the_same_result(pair: Simulated, pair_run: Run) -> None:
    again = run([pair.section], QUICK, RunContext(seed=3))
    np.testing.assert_array_equal(again.partition.labels, pair_run.partition.labels)
    np.testing.assert_array_equal(again.weights.weight, pair_run.weights.weight)
    np.testing.assert_array_equal(again.ensemble.across, pair_run.ensemble.across)


def test_a_saved_model_places_the_same_spots_alike(
    pair: Simulated, pair_run: Run, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "model", trained_checkpoint(pair_run, [pair.section]))
    checkpoint = load_checkpoint(tmp_path / "model", "spatialglue")
    result = integrate_modalities([pair.section], IntegrateParams(), checkpoint, RunContext())
    columns = {c.layer: c.values for c in result.columns}
    domain = columns[LayerKey("label", "domain")]
    np.testing.assert_array_equal(domain, pair_run.partition.labels)
    np.testing.assert_allclose(
        columns[LayerKey("confidence", "domain")], pair_run.partition.confidence, atol=1e-4
    )
    np.testing.assert_allclose(
        columns[LayerKey("weight", "rna")], pair_run.weights.weight[:, 0], atol=0.02
    )


def test_a_model_refuses_what_it_does_not_know_and_what_is_damaged(
    pair: Simulated, pair_run: Run
) -> None:
    checkpoint = trained_checkpoint(pair_run, [pair.section])
    alone = replace(pair.section, modalities=pair.section.modalities[:1])
    with pytest.raises(BadRequest, match="protein is absent"):
        integrate_modalities([alone], IntegrateParams(), checkpoint, RunContext())
    tensors = {k: v for k, v in checkpoint.tensors.items() if k != "share"}
    with pytest.raises(BadCheckpoint, match="share"):
        from_checkpoint(Checkpoint(checkpoint.card, tensors))


def test_spots_that_lack_a_modality_are_placed_by_what_they_have(pair: Simulated) -> None:
    rows = np.random.default_rng(0).permutation(1296)[:300]
    made = without(pair, "protein", rows)
    found = run([made.section], replace(QUICK, seeds=1), RunContext())
    assert found.figures["model"]["ari"] > 0.95
    np.testing.assert_array_equal(found.weights.weight[rows], [[1, 0]] * 300)


def test_one_modality_gives_plain_domains_and_says_so(pair: Simulated) -> None:
    alone = replace(pair.section, modalities=pair.section.modalities[:1])
    params = replace(QUICK, seeds=1, clusters=4)
    result = integrate_modalities([alone], params, None, RunContext())
    assert "one modality" in result.figures["warnings"][0]
    weight = next(c for c in result.columns if c.layer == LayerKey("weight", "rna"))
    np.testing.assert_array_equal(weight.values, 1)


def test_a_modality_without_spatial_signal_is_left_out_and_named(pair: Simulated) -> None:
    rna, protein = pair.section.modalities
    order = np.random.default_rng(1).permutation(1296)
    shuffled = replace(protein, values=protein.values[order])
    made = replace(pair.section, modalities=(rna, shuffled))
    result = integrate_modalities([made], replace(QUICK, seeds=1, clusters=4), None, RunContext())
    assert any(w.startswith("protein shows no spatial signal") for w in result.figures["warnings"])
    weight = next(c for c in result.columns if c.layer == LayerKey("weight", "rna"))
    assert np.median(weight.values) > 0.85


def test_parity_mode_runs_the_schedule_of_its_technology(pair: Simulated) -> None:
    seen: list[str] = []
    ctx = RunContext(report=lambda _, message: seen.append(message))

    def stop() -> bool:
        return any("epoch 3 of 200" in message for message in seen)

    ctx.cancelled = stop
    params = replace(QUICK, mode="parity", technology="10x", components=20)
    with pytest.raises(Cancelled):
        integrate_modalities([pair.section], params, None, ctx)
    assert any("epoch 1 of 200" in message for message in seen)
