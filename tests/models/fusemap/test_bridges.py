from __future__ import annotations

import numpy as np

from backend.core.job import RunContext
from backend.models.common.prep import gene_index, prepare, union_of_genes
from backend.models.fusemap.bridges import baseline_r, choose_k, hide_and_score, hiding_plan
from backend.models.fusemap.space import Reference, make_references
from backend.models.fusemap.train import TrainParams, train
from tests.models.simulated import Simulation


def references(simulation: Simulation) -> tuple[list[Reference], int]:
    genes = union_of_genes(simulation.sections)
    index = gene_index(genes)
    names = [(s.id, s.dataset) for s in simulation.sections]
    prepared = [prepare(s, index) for s in simulation.sections]
    places = [s.xy for s in simulation.sections]
    return make_references(names, prepared, places, len(genes)), len(genes)


def test_hidden_gene_stays_measured_somewhere(simulation: Simulation) -> None:
    refs, n_genes = references(simulation)
    unit, plan = hiding_plan(refs, n_genes, 0)
    assert (plan[:, :40] >= 0).all()
    assert (plan[:, 40:] == -1).all()
    for fold in range(5):
        assert ((plan[:, :40] == fold).sum(axis=0) < 3).all()


def test_hidden_genes_are_imputed_about_as_well_as_the_cells_allow(simulation: Simulation) -> None:
    refs, n_genes = references(simulation)
    hidden = hide_and_score(refs, n_genes, 8, range(5), 0, RunContext())
    base = baseline_r(refs, n_genes, range(5), 0, RunContext())
    assert len(hidden.r) == 120
    assert hidden.mean_r() > 0.25
    assert hidden.r.mean() > np.nanmean(base) - 0.02
    assert np.isnan(base[:, 40:]).all()


def test_number_of_factors_is_among_the_candidates(simulation: Simulation) -> None:
    refs, n_genes = references(simulation)
    k, tried = choose_k(refs, n_genes, 0, RunContext())
    assert tried[str(k)] == max(tried.values())


def test_single_section_cannot_be_checked_and_says_so(simulation: Simulation) -> None:
    made = train(simulation.sections[:1], TrainParams(iterations=5), RunContext())
    assert np.isnan(made.tensors["genes/trust"]).all()
    assert made.card["metrics"]["bridge_r_by_k"] == {}


def test_trust_is_known_for_bridge_genes_and_predicted_for_all(simulation: Simulation) -> None:
    made = train(simulation.sections, TrainParams(k=6, iterations=20), RunContext())
    trust = made.tensors["genes/trust"]
    assert np.isfinite(trust[:40, :2]).all()
    assert np.isnan(trust[40:, 0]).all()
    assert np.isfinite(trust[:, 2]).all()
