from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.core.errors import Diverged
from backend.core.job import RunContext
from backend.models.common.factors import FactorFit
from backend.models.common.prep import gene_index, prepare, union_of_genes
from backend.models.fusemap import refine
from backend.models.fusemap.bridges import correlation
from backend.models.fusemap.references import Reference, make_references
from backend.models.fusemap.refine import Refiner, refined, train_refiner
from backend.models.fusemap.refining import refine_sections, with_refiner
from backend.models.fusemap.space import Space, fit_space, map_cells
from tests.models.simulated import Simulation


@pytest.fixture(scope="module")
def fitted(simulation: Simulation) -> tuple[Space, list[Reference]]:
    genes = union_of_genes(simulation.sections)
    prepared = [prepare(s, gene_index(genes)) for s in simulation.sections]
    names = [(s.id, s.dataset) for s in simulation.sections]
    places = [s.xy for s in simulation.sections]
    references = make_references(names, prepared, places, len(genes))
    return fit_space(references, len(genes), FactorFit(8, 40), RunContext()), references


def test_refinement_starts_at_the_posterior(fitted: tuple[Space, list[Reference]]) -> None:
    space, references = fitted
    start = train_refiner(refine_sections(space, references), RunContext(), steps=0)
    z = np.random.default_rng(0).normal(size=(500, 8))
    np.testing.assert_array_equal(refined(start, z, references[0].graph, 0.3), z)


def test_network_is_written_out_on_two_cells() -> None:
    identity = np.eye(3, dtype=np.float32)
    last = np.array(
        [[0.0, 1.0, 0.0]], dtype=np.float32
    )  # z moves by gelu(gelu(mean of neighbours))
    zero = (np.zeros(3, np.float32), np.zeros(3, np.float32), np.zeros(1, np.float32))
    net = Refiner((identity, identity, last), zero)
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    out = refined(net, np.array([[50.0], [0.0]]), csr_matrix(swap), 0.0)
    np.testing.assert_allclose(out, [[50.0], [50.0]])


def test_refinement_helps_genes_that_a_mask_hid(fitted: tuple[Space, list[Reference]]) -> None:
    space, references = fitted
    better = with_refiner(space, references, RunContext(), steps=200)
    gain = [hidden_r(better, r) - hidden_r(space, r) for r in references]
    assert np.mean(gain) > 0.01


def hidden_r(space: Space, r: Reference) -> float:
    """Mean r of every fourth gene of a section, hidden from the cells but not from the fit."""
    hidden = np.arange(len(r.prepared.genes)) % 4 == 0
    part, out = (r.prepared.columns(np.flatnonzero(m)) for m in (~hidden, hidden))
    z = map_cells(space, part, r.graph, space.noise[r.id][~hidden]).z
    return float(correlation(z @ space.embedding[out.genes].T, out.x.toarray()).mean())


def test_same_seed_gives_the_same_refinement(fitted: tuple[Space, list[Reference]]) -> None:
    sections = refine_sections(*fitted)
    one, two = (train_refiner(sections, RunContext(seed=3), steps=5) for _ in range(2))
    for a, b in zip(one.weights, two.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_loss_that_is_not_finite_from_the_start_is_an_error(
    fitted: tuple[Space, list[Reference]],
) -> None:
    sections = [replace(s, embedding=s.embedding * np.inf) for s in refine_sections(*fitted)]
    with pytest.raises(Diverged, match="refinement"):
        train_refiner(sections, RunContext(), steps=20)


def test_diverging_loss_keeps_the_last_good_state(
    fitted: tuple[Space, list[Reference]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = refine_sections(*fitted)
    good = train_refiner(sections, RunContext(), steps=20)
    calls = iter(range(1000))
    original = refine._loss

    def sometimes(*args):
        return original(*args) * (float("nan") if next(calls) >= 20 else 1.0)

    monkeypatch.setattr(refine, "_loss", sometimes)
    kept = train_refiner(sections, RunContext(), steps=60)
    assert all(np.isfinite(w).all() for w in kept.weights)
    assert kept.weights[0].shape == good.weights[0].shape


def test_two_processes_end_with_the_same_network(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node", "2", "-m", "tests.models.fusemap.refine_pair"]
    subprocess.run([*command, str(tmp_path)], check=True, capture_output=True)
    one, two = (np.load(tmp_path / f"rank{rank}.npz") for rank in range(2))
    for name in one.files:
        np.testing.assert_array_equal(one[name], two[name])
    assert np.abs(one["arr_2"]).max() > 0
