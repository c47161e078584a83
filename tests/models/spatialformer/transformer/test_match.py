import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree
from sklearn.metrics import roc_auc_score

from backend.models.spatialformer.transformer.blocks import Residual
from backend.models.spatialformer.transformer.closed_form import (
    begin_closed_form,
    gene_vectors,
    shares,
)
from backend.models.spatialformer.transformer.corpus import Source, make_corpus
from backend.models.spatialformer.transformer.keep import Pretrained
from backend.models.spatialformer.transformer.match import Match, ranks
from backend.models.spatialformer.transformer.network import Former
from backend.models.spatialformer.transformer.score import together
from backend.models.spatialformer.transformer.tokens import Ranked
from backend.models.spatialformer.transformer.train import TrainParams, hard_share, start_training
from tests.models.spatialformer.transformer.tiny import GENES, tiny_size


def squares(seed: int, n: int = 900) -> Source:
    """Squares of 100 um that each hold cells of one of three types; a type leads by ten genes."""
    random = np.random.default_rng(seed)
    xy = random.uniform(0, 900, (n, 2)).astype(np.float32)
    kind = random.integers(0, 3, (9, 9))[tuple((xy // 100).astype(int).T)]
    leads = np.arange(len(GENES))[None, :] % 3 == kind[:, None]
    counts = random.poisson(np.where(leads, 3.0, 0.5)).astype(np.float32)
    return Source(f"squares {seed}", csr_matrix(counts), GENES, xy, {"species": "mouse"})


def test_ranks_begin_behind_the_leading_tokens_and_end_before_sep():
    own = torch.tensor([[True] * 6 + [False], [True] * 4 + [False] * 3])
    rank, gene = ranks(own, 2)
    assert gene.tolist() == [[0, 0, 1, 1, 1, 0, 0], [0, 0, 1, 0, 0, 0, 0]]
    assert rank[0, :6].tolist() == [0, 0, 0, 1, 2, 3]


def test_a_pooled_cell_is_the_fading_mean_of_its_genes():
    match = Match(tiny_size(width=2, heads=1))
    x = torch.tensor([[[9.0, 9], [9, 9], [9, 9], [9, 9], [9, 9], [1, 0], [0, 1], [9, 9]]])
    got = match.pool(x, torch.ones(1, 8, dtype=torch.long))
    fade = np.exp(-1.5 / 48)
    np.testing.assert_allclose(got.detach(), [[1 / (1 + fade), fade / (1 + fade)]], rtol=1e-5)


def test_the_match_is_symmetric_and_highest_for_a_cell_with_itself():
    match = Match(tiny_size())
    u = torch.nn.functional.normalize(torch.randn(5, 16, generator=torch.Generator()), dim=1)
    scores = match(u[:, None], u[None])
    assert torch.equal(scores, scores.T)
    assert torch.equal(scores.argmax(1), torch.arange(5))


def test_shares_fade_with_rank_and_sum_to_one():
    cells = Ranked(np.array([0, 2, 2]), np.array([4, 1]))
    got = shares(cells, range(2), 6, 10).toarray()
    fade = np.exp(-1.5 / 48)
    np.testing.assert_allclose(got, [[0, fade / (1 + fade), 0, 0, 1 / (1 + fade), 0], [0] * 6])


def test_a_closed_form_start_tells_neighbours_of_an_unseen_section_before_any_step():
    corpus = make_corpus([squares(0)])
    model = Former(tiny_size(pair_head="match"), seed=0)
    begin_closed_form(model, corpus, seed=0)
    unseen = make_corpus([squares(1)], corpus.vocabulary).lessons[0]
    kept = Pretrained(model.eval(), corpus.vocabulary, corpus.medians, {})
    cells = [unseen.cells.of(i) for i in range(120)]
    with torch.no_grad():
        scores = together(kept, cells, cells, unseen.meta)
    places = unseen.places.xy[:120]
    away = cKDTree(places).sparse_distance_matrix(cKDTree(places), 2000).toarray()
    i, j = np.triu_indices(120, 1)
    counts = (away[i, j] <= 30) | (away[i, j] >= 80)
    got = roc_auc_score(away[i, j][counts] <= 30, scores[i, j][counts])
    assert got > 0.7


def test_genes_that_are_not_in_the_corpus_have_no_vector_and_branches_begin_small():
    corpus = make_corpus([squares(0)])
    vectors = gene_vectors(corpus, 16, 25, 0)
    assert not vectors[: corpus.vocabulary.first_gene].any()
    assert vectors[corpus.vocabulary.first_gene :].any(axis=1).all()
    model = Former(tiny_size(pair_head="match"), seed=0)
    begin_closed_form(model, corpus, 0)
    assert {float(m.scale.detach().max()) for m in model.modules() if isinstance(m, Residual)} == {
        float(np.float32(0.1))
    }


def test_the_match_learns_faster_and_losses_begin_weighing_as_much():
    params = TrainParams(steps=100, easy=0.2, head_rate=3.0)
    training = start_training(tiny_size(pair_head="match"), params, 0)
    times = [g["times"] for g in training.optimiser.param_groups]
    assert times == [1.0, 1.0, 3.0]
    n = training.model.size.tokens
    np.testing.assert_allclose(
        training.uncertainty.s.detach(), [np.log(np.log(n)), np.log(np.log(2)), -2.0], rtol=1e-5
    )


def test_hard_negatives_come_to_weigh_half():
    params = TrainParams(steps=100, easy=0.2)
    shares_now = [hard_share(s, params) for s in (0, 10, 20, 99)]
    np.testing.assert_allclose(shares_now, [0.1, 0.3, 0.5, 0.5])
    assert hard_share(0, TrainParams(steps=100, easy=0.0)) == 0.5
