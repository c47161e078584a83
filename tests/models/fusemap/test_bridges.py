from __future__ import annotations

import numpy as np
import pytest

from backend.core.job import RunContext
from backend.models.common.graphs import delaunay_graph
from backend.models.common.prep import gene_index, prepare, union_of_genes
from backend.models.fusemap.bridges import bridge_counts, correlation, hide, hiding_plan
from backend.models.fusemap.choose import Choice, choose
from backend.models.fusemap.fits import HiddenFits
from backend.models.fusemap.plain import baseline_r
from backend.models.fusemap.train import TrainParams, train
from backend.models.fusemap.trial import Sample, draw_samples, sample_references
from backend.models.fusemap.trust import earn_trust
from tests.models.simulated import Simulation


def samples_of(simulation: Simulation, cells: int = 300) -> tuple[list[Sample], int]:
    genes = union_of_genes(simulation.sections)
    index = gene_index(genes)
    names = [(s.id, s.dataset) for s in simulation.sections]
    prepared = [prepare(s, index) for s in simulation.sections]
    graphs = [delaunay_graph(s.xy) for s in simulation.sections]
    return draw_samples(names, prepared, graphs, 0, cells), len(genes)


def test_sample_holds_the_neighbours_of_the_drawn_cells(simulation: Simulation) -> None:
    samples, _ = samples_of(simulation, 20)
    whole = delaunay_graph(simulation.sections[0].xy)
    own = samples[0]
    assert len(own.drawn) == 20
    for place, cell in zip(own.drawn, own.rows[own.drawn], strict=True):
        near = own.rows[own.graph[place].indices]
        assert set(near) == set(whole[cell].indices)


def test_hidden_gene_stays_measured_somewhere(simulation: Simulation) -> None:
    samples, n_genes = samples_of(simulation)
    plan = hiding_plan(sample_references(samples, "log1p", n_genes), n_genes, 0)
    assert (plan.fold[:, :40] >= 0).all()
    assert (plan.fold[:, 40:] == -1).all()
    for fold in range(5):
        assert ((plan.fold[:, :40] == fold).sum(axis=0) < 3).all()


def test_section_with_hidden_genes_has_not_measured_them(simulation: Simulation) -> None:
    samples, n_genes = samples_of(simulation)
    references = sample_references(samples, "log1p", n_genes)
    plan = hiding_plan(references, n_genes, 0)
    for s, seen in enumerate(hide(references, plan, 1)):
        gone = np.setdiff1d(references[s].prepared.genes, seen.prepared.genes)
        assert gone.tolist() == np.flatnonzero(plan.hidden(s, 1)).tolist()
        assert len(seen.moments.genes) == len(seen.core)


def test_hidden_genes_are_imputed_about_as_well_as_the_cells_allow(simulation: Simulation) -> None:
    samples, n_genes = samples_of(simulation, 500)
    fits = HiddenFits(samples, "log1p", n_genes, RunContext())
    trust = earn_trust(fits, Choice("log1p", (8,), False), 5, RunContext())
    assert len(trust.held_out) == 120
    assert trust.held_out[:, 2].mean() > 0.25
    plan = hiding_plan(sample_references(samples, "log1p", n_genes), n_genes, 0)
    base = baseline_r(samples, plan, range(5), n_genes, RunContext())
    assert trust.held_out[:, 2].mean() > np.nanmean(base) - 0.02
    assert np.isnan(base[:, :, 40:]).all()
    assert trust.cells is not None
    assert 0.85 < trust.cells.coverage < 0.95
    assert (np.diff(trust.cells.widths) > -0.1).all()


def test_choice_is_the_best_of_what_was_tried(simulation: Simulation) -> None:
    samples, n_genes = samples_of(simulation)
    found, fits = choose(samples, n_genes, RunContext(), refine=False)
    name = f"{found.scale} {'+'.join(map(str, found.factors))}"
    sets = [r for n, r in found.tried.items() if n.startswith(found.scale) and n[-4:] != "6+10"]
    assert found.tried[name] == max(sets)
    assert fits.scale == found.scale
    assert not found.refine


def test_what_is_given_is_not_chosen(simulation: Simulation) -> None:
    samples, n_genes = samples_of(simulation)
    found, _ = choose(samples, n_genes, RunContext(), (3,), "sharp", True)
    assert (found.scale, found.factors, found.refine) == ("sharp", (3,), True)
    assert found.tried == {}


def test_correlation_of_a_constant_is_zero() -> None:
    a = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    b = np.array([[2.0, 1.0], [4.0, 2.0], [6.0, 9.0]])
    np.testing.assert_allclose(correlation(a, b), [1.0, 0.0])


def test_single_section_cannot_be_checked_and_says_so(simulation: Simulation) -> None:
    made = train(simulation.sections[:1], TrainParams(iterations=5), RunContext())
    assert np.isnan(made.tensors["genes/trust"][:, :2]).all()
    assert made.card["metrics"]["bridge_r"] == {}


def test_trust_is_known_for_bridge_genes_and_predicted_for_all(simulation: Simulation) -> None:
    params = TrainParams(k=6, scale="log1p", refine=False, iterations=20)
    made = train(simulation.sections, params, RunContext())
    trust = made.tensors["genes/trust"]
    assert np.isfinite(trust[:40]).all()
    assert np.isnan(trust[40:, 0]).all()
    assert np.isfinite(trust[:, 2]).all()
    assert made.card["bridge_genes"] == {"d0": 40, "d1": 40, "d2": 40}
    assert made.card["few_bridge_genes"] == ["d0", "d1", "d2"]
    assert made.card["metrics"]["cells"]["coverage_on_fresh_genes"] == pytest.approx(0.9, abs=0.05)


def test_bridge_genes_are_counted_without_case(simulation: Simulation) -> None:
    assert bridge_counts(simulation.sections[:2]) == {"d0": 40, "d1": 40}
    assert bridge_counts(simulation.sections[:1]) == {"d0": 0}
