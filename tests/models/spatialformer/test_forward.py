"""The transformer beside the pair model: forward perturbation, its row, and when it is used."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.core.errors import BadRequest, TooFewCells
from backend.core.job import RunContext
from backend.models.spatialformer.colocalise import ColocaliseParams, colocalise
from backend.models.spatialformer.forward import forward_tests
from backend.models.spatialformer.held_out import MODEL, TRANSFORMER, WITH_TRANSFORMER, _winner
from backend.models.spatialformer.learnt import learn_section, unseen_words
from backend.models.spatialformer.perturb import PerturbParams, perturb
from backend.models.spatialformer.transformer.keep import Pretrained
from backend.models.spatialformer.transformer.network import Former
from backend.models.spatialformer.transformer.perturb import remove_pairs
from backend.models.spatialformer.transformer.score import read_cells
from backend.models.spatialformer.transformer.size import Size
from backend.models.spatialformer.transformer.sketch import pretrained_on, sketch
from backend.models.spatialformer.transformer.vocabulary import make_vocabulary
from backend.models.spatialformer.type_contacts import find_contacts
from tests.models.spatialformer.planted import contacts, patches


def transformer(genes: tuple[str, ...], head: str = "match", card: dict | None = None):
    words = make_vocabulary([genes], [{"species": "mouse"}])
    size = Size(
        len(words), width=8, blocks=2, heads=2, longest=91, co_rank=2, kernel=3, apart=1,
        pair_head=head, dropout=0.0, drop_path=0.0,
    )  # fmt: skip
    return Pretrained(Former(size, 1).eval(), words, np.ones(len(words), np.float32), card or {})


@pytest.mark.parametrize("head", ["match", "cls"])
def test_the_effect_is_the_mean_second_difference_of_the_contacts_that_show_both(head):
    section, label = contacts(2, n=320)
    kept = transformer(section.genes, head)
    read = read_cells(kept, section.counts, section.genes, {})
    touching = find_contacts(section.xy, label.codes == 0, label.codes == 1)
    found = forward_tests(kept, read, touching, RunContext())
    assert found.contacts == min(touching.count, 120)
    near = touching.near.tocoo()
    order = np.sort(np.random.default_rng(0).permutation(near.nnz)[:120])
    i, j = np.unravel_index(found.support.argmax(), found.support.shape)
    seen = []
    for a, b in zip(near.row[order], near.col[order], strict=True):
        one = remove_pairs(kept, read.cells.of(touching.a[a]), read.cells.of(touching.b[b]),
                           read.meta)  # fmt: skip
        at = np.ix_(one.genes_a == found.genes_a[i], one.genes_b == found.genes_b[j])
        seen += one.pair[at].ravel().tolist()
    assert found.support[i, j] == len(seen)
    np.testing.assert_allclose(found.effect[i, j], np.mean(seen), atol=1e-5)
    assert 0 <= found.auc <= 1
    assert np.isfinite(found.z).sum() == np.isfinite(found.q).sum() > 0


def test_forward_perturbation_stands_beside_the_closed_form_and_says_how_far_to_trust_it():
    section, label = contacts(2, 4.0, n=400)
    kept = transformer(section.genes)
    everywhere = np.ones(section.n_cells, bool)
    params = PerturbParams("A", "B", forward=True)
    figures = perturb(section, label, everywhere, params, RunContext(), None, kept).figures
    forward = figures["forward"]
    assert f"AUC {forward['auc']:.2f}" in forward["said"]
    assert not forward["trusted"] or forward["auc"] >= 0.55
    first = forward["rows"][0]
    same = [r for r in figures["rows"] if (r["gene_a"], r["gene_b"]) ==
            (first["gene_a"], first["gene_b"])]  # fmt: skip
    assert same[0]["forward_q"] == first["q"]
    again = perturb(section, label, everywhere, params, RunContext(), None, kept).figures
    assert again["forward"]["rows"] == forward["rows"]


def test_forward_perturbation_needs_a_transformer_and_contacts_that_show_genes():
    section, label = contacts(2, n=320)
    with pytest.raises(BadRequest, match="no trained transformer"):
        perturb(section, label, np.ones(320, bool), PerturbParams("A", "B", forward=True),
                RunContext())  # fmt: skip
    kept = transformer(section.genes)
    bare = csr_matrix(section.counts.multiply(np.arange(25)[None, :] == np.arange(320)[:, None]))
    read = read_cells(kept, bare, section.genes, {})
    touching = find_contacts(section.xy, label.codes == 0, label.codes == 1)
    with pytest.raises(TooFewCells, match="shown by 20"):
        forward_tests(kept, read, touching, RunContext())


def test_the_transformer_has_a_row_and_what_it_says_stands_beside():
    section, label = patches(3, 900)
    kept = transformer(section.genes)
    none = np.zeros(0, np.int64)
    figures = colocalise(
        section, label, none, ColocaliseParams(), RunContext(), pretrained=kept
    ).figures
    assert {TRANSFORMER, WITH_TRANSFORMER, MODEL} <= set(figures["auc"])
    assert TRANSFORMER in figures["auc_by_radius"]["60"]
    used = figures["takes"] == WITH_TRANSFORMER
    assert next(iter(figures["auc"])) == (WITH_TRANSFORMER if used else MODEL)
    assert ("is used" if used else "is not used") in figures["transformer"][0]


def test_an_embedding_is_used_only_where_it_wins_by_enough():
    plain = {"hard": 0.6, "easy": 0.7}
    wins = {"hard": 0.62, "easy": 0.7}
    assert _winner(plain, {"x": wins, "y": {"hard": 0.65, "easy": 0.7}}) == "y"
    assert _winner(plain, {"x": {"hard": 0.605, "easy": 0.702}}) == ""
    assert _winner(plain, {}) == ""


def test_a_section_that_was_pretrained_on_is_known_and_its_figures_are_not_used():
    section, label = patches(3, 900)
    kept = transformer(section.genes)
    cells = read_cells(kept, section.counts, section.genes, {}).cells
    other = read_cells(kept, patches(8, 900)[0].counts, section.genes, {}).cells
    card = {"data": [{"name": "mine", "sketch": sketch(cells)}]}
    assert pretrained_on(card, cells) == "mine"
    assert pretrained_on(card, other) == ""
    known = transformer(section.genes, card=card)
    figures = colocalise(
        section, label, np.zeros(0, np.int64), ColocaliseParams(), RunContext(), pretrained=known
    ).figures
    assert WITH_TRANSFORMER not in figures["auc"]
    assert "pretrained on this very tissue (mine)" in figures["transformer"][0]


def test_a_transformer_without_a_match_or_a_section_without_its_genes_is_left_out():
    section, label = patches(3, 900)
    found, why = learn_section(transformer(section.genes, "cls"), section, RunContext())
    assert found is None
    assert "no match" in why
    strange = transformer(("X1", "X2"))
    none = np.zeros(0, np.int64)
    figures = colocalise(
        section, label, none, ColocaliseParams(), RunContext(), pretrained=strange
    ).figures
    assert "left out" in figures["transformer"][0]
    assert TRANSFORMER not in figures["auc"]


def test_figures_on_unseen_sections_come_from_the_card():
    found = {"a": {"30": {"hard": 0.6, "easy": 0.7}}, "b": {"30": {"hard": 0.65, "easy": 0.75}}}
    said = unseen_words({"metrics": {"unseen": found}})
    assert "On 2 sections" in said
    assert "0.60-0.65" in said
    assert "no figures" in unseen_words({})
