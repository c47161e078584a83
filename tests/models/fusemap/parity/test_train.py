from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from backend.core.errors import BadRequest, Cancelled, Diverged, OutOfMemory, UnknownGene
from backend.core.job import RunContext
from backend.models.common.agreement import gene_r
from backend.models.fusemap.parity import train, training
from backend.models.fusemap.parity.outputs import Fitted, batch_rebuilt, impute, rebuilt
from backend.models.fusemap.parity.settings import Settings
from backend.models.fusemap.parity.train import fit
from tests.models.fusemap.parity.pair import SHORT
from tests.models.fusemap.parity.planted import planted

SMALL = Settings(latent=8, hidden=32, adversary=16, batch=32, epochs=3, validate_after=1)
SECTIONS, TYPES = planted()
ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit(SECTIONS, SMALL, RunContext(seed=3))


def _equal(a: Fitted, b: Fitted, tolerance: float = 0.0) -> None:
    for name in ("cell", "niche"):
        for s, t in zip(a.sections, b.sections, strict=True):
            np.testing.assert_allclose(getattr(s, name), getattr(t, name), atol=tolerance)
    np.testing.assert_allclose(a.gene_embedding, b.gene_embedding, atol=tolerance)


def test_a_fit_has_embeddings_of_every_cell_niche_and_gene(fitted: Fitted) -> None:
    assert fitted.genes == tuple(f"GENE{g:02d}" for g in range(24))
    assert fitted.gene_embedding.shape == (24, 8)
    for s in fitted.sections:
        assert s.cell.shape == s.niche.shape == (len(s.cells), 8)
        np.testing.assert_allclose(s.niche, s.graph.T @ s.cell, atol=1e-5)
    assert [h["phase"] for h in fitted.history] == [1, 1, 1, 2, 2, 2]
    assert "validation" not in fitted.history[0]
    assert "validation" in fitted.history[1]


def test_the_first_batch_sets_the_weight_of_the_adversary(fitted: Fitted) -> None:
    # Two sections of nearly unit variance against two losses of about log 2.
    assert 0.5 < fitted.weight < 2.5
    fixed = fit(SECTIONS, replace(SMALL, epochs=1, auto_adversary=False), RunContext(seed=3))
    assert fixed.weight == 1.0


def test_the_same_seed_gives_the_same_result_and_another_another(fitted: Fitted) -> None:
    torch.manual_seed(99)
    _equal(fitted, fit(SECTIONS, SMALL, RunContext(seed=3)))
    other = fit(SECTIONS, SMALL, RunContext(seed=4))
    assert not np.allclose(other.gene_embedding, fitted.gene_embedding)


@pytest.mark.parametrize("decode", ["minibatch", "exact"])
def test_planted_types_are_learned_and_hidden_genes_imputed(
    decode: Literal["minibatch", "exact"],
) -> None:
    settings = replace(SMALL, epochs=15, early_stopping=False, decode=decode)
    made = fit(SECTIONS, settings, RunContext(seed=0))
    first = made.sections[0]
    found = KNeighborsClassifier(5).fit(first.cell[::2], TYPES[0][first.cells][::2])
    right = found.predict(first.cell[1::2]) == TYPES[0][first.cells][1::2]
    assert right.mean() > 0.9
    # Genes 0 to 3 are measured in the second section only.
    guess = impute(made, 0, ["Gene00", "Gene01", "Gene02"])
    marked = np.eye(3)[TYPES[0][first.cells]]
    assert gene_r(guess, marked).mean() > 0.3


def test_an_interrupted_training_goes_on_to_the_same_result(fitted: Fitted, tmp_path: Path) -> None:
    calls = 0

    def stop_in_epoch_two_of_phase_two() -> bool:
        nonlocal calls
        calls += 1
        return calls > 22

    ctx = RunContext(seed=3, cancelled=stop_in_epoch_two_of_phase_two)
    with pytest.raises(Cancelled):
        fit(SECTIONS, SMALL, ctx, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["state-0-of-1.safetensors"]
    said: list[str] = []
    ctx = RunContext(seed=3, report=lambda _, message: said.append(message))
    _equal(fitted, fit(SECTIONS, SMALL, ctx, tmp_path))
    assert said[0] == "Phase 2, epoch 2 of 3"


def test_a_state_of_another_seed_or_a_torn_one_is_not_gone_on_from(
    fitted: Fitted, tmp_path: Path
) -> None:
    fit(SECTIONS, replace(SMALL, epochs=1), RunContext(seed=9), tmp_path)
    _equal(fitted, fit(SECTIONS, SMALL, RunContext(seed=3), tmp_path))
    path = tmp_path / "state-0-of-1.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    _equal(fitted, fit(SECTIONS, SMALL, RunContext(seed=3), tmp_path))


def _diverging(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run = training.run_epoch

    def diverge(t: training.Training, ctx: RunContext) -> dict[str, float]:
        losses = run(t, ctx)
        if t.done >= after:
            with torch.no_grad():
                t.network.genes.fill_(float("nan"))
            raise Diverged("A loss was not finite.")
        return losses

    monkeypatch.setattr(train, "run_epoch", diverge)


def test_a_diverging_loss_ends_the_training_with_the_last_good_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _diverging(2, monkeypatch)
    made = fit(SECTIONS, SMALL, RunContext(seed=3))
    assert "last epoch before it was kept" in made.ended
    assert len(made.history) == 2
    assert np.isfinite(made.gene_embedding).all()


def test_a_loss_that_diverges_at_once_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Diverged, match="phase 1, epoch 1"):
        fit(SECTIONS, replace(SMALL, learning_rate=1e30), RunContext())
    _diverging(0, monkeypatch)
    with pytest.raises(Diverged):
        fit(SECTIONS, SMALL, RunContext())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte"),
    ],
    ids=["numpy", "gpu", "cpu"],
)
def test_memory_that_runs_out_advises_a_smaller_batch(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(t: training.Training, ctx: RunContext) -> dict[str, float]:
        raise error

    monkeypatch.setattr(train, "run_epoch", exhausted)
    with pytest.raises(OutOfMemory, match="smaller batch"):
        fit(SECTIONS, SMALL, RunContext())


def test_other_faults_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(t: training.Training, ctx: RunContext) -> dict[str, float]:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(train, "run_epoch", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        fit(SECTIONS, SMALL, RunContext())


def test_many_sections_are_balanced_pair_by_pair() -> None:
    sections, _ = planted(n=60, sections=5)
    settings = replace(SMALL, epochs=1, joint_up_to=4)
    made = fit(sections, settings, RunContext(seed=1))
    joint = fit(sections, replace(settings, joint_up_to=5), RunContext(seed=1))
    assert made.history[0] == joint.history[0]
    assert made.history[1] != joint.history[1]


def test_one_section_cannot_be_integrated() -> None:
    with pytest.raises(BadRequest, match="one was given"):
        fit(SECTIONS[:1], SMALL, RunContext())


def test_settings_that_train_nothing_are_refused() -> None:
    with pytest.raises(BadRequest, match="batch needs two"):
        Settings(batch=1)


def test_imputation_is_a_product_and_knows_only_measured_genes(fitted: Fitted) -> None:
    s = fitted.sections[0]
    np.testing.assert_allclose(
        impute(fitted, 0, ["gene03"])[:, 0], s.cell @ fitted.gene_embedding[3], rtol=1e-5
    )
    with pytest.raises(UnknownGene, match="No section measures Gene3. Did you mean"):
        impute(fitted, 0, ["Gene3"])


def test_a_batch_rebuilds_its_neighbours_from_less_than_the_whole_graph_does(
    fitted: Fitted,
) -> None:
    whole = rebuilt(fitted, 0, fitted.sections[0].genes)
    part, rows = batch_rebuilt(fitted, 0, 16, seed=0)
    assert part.shape == (len(rows), len(fitted.sections[0].genes))
    assert part.mean() < whole.mean()
    every, rows = batch_rebuilt(fitted, 0, len(fitted.sections[0].cells), seed=0)
    np.testing.assert_allclose(every, whole, atol=1e-5)


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    out = tmp_path / "pair.npz"
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "tests.models.fusemap.parity.pair", str(out),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    sections, _ = planted(sections=3)
    alone = fit(sections, SHORT, RunContext(seed=3))
    # RMSprop begins by dividing gradients by their own size, which enlarges rounding.
    with np.load(out, allow_pickle=False) as pair:
        np.testing.assert_allclose(pair["genes"], alone.gene_embedding, atol=1e-5)
        for v, s in enumerate(alone.sections):
            np.testing.assert_allclose(pair[f"cell{v}"], s.cell, atol=2e-3)
