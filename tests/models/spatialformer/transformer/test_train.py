import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from backend.core.errors import BadCheckpoint, TooFewCells
from backend.core.job import RunContext
from backend.models.spatialformer.transformer.batches import co_matrix, draw_batch
from backend.models.spatialformer.transformer.corpus import Source, make_corpus
from backend.models.spatialformer.transformer.crossing import cross_all
from backend.models.spatialformer.transformer.keep import (
    Pretrained,
    load_pretrained,
    resume_training,
    save_pretrained,
    save_training,
)
from backend.models.spatialformer.transformer.losses import pair_loss
from backend.models.spatialformer.transformer.network import Former
from backend.models.spatialformer.transformer.perturb import shortened
from backend.models.spatialformer.transformer.prior import gene_graph, learn_prior, put_prior
from backend.models.spatialformer.transformer.score import encoded, together
from backend.models.spatialformer.transformer.tokens import pair_input
from backend.models.spatialformer.transformer.train import (
    TrainParams,
    learning_rate,
    one_step,
    start_training,
    train,
)
from backend.models.spatialformer.transformer.windows import (
    draw_window,
    pair_targets,
    places_of,
)
from tests.models.spatialformer.transformer.tiny import GENES, random_cells, tiny_size, vocabulary

PARAMS = TrainParams(steps=6, windows=2, cells=12, second=5, every=3, half=False, warm=2)


def source(n=150, seed=0, name="s"):
    random = np.random.default_rng(seed)
    counts = csr_matrix(random.poisson(1.0, (n, len(GENES))).astype(np.float32))
    xy = random.uniform(0, 300, (n, 2)).astype(np.float32)
    together = np.array([[0, 1, 4], [0, 2, 3], [3, 4, 1]])
    seen = np.arange(n) < 100
    return Source(name, counts, GENES, xy, {"species": "mouse"}, together, seen)


def test_neighbours_and_both_negatives_weigh_1_to_half_to_half():
    xy = np.array([[0.0, 0], [20, 0], [100, 0], [400, 0], [50, 0]])
    near, weight = pair_targets(xy, np.array([0, 1]))
    assert near.tolist() == [[0, 1], [1, 0], [0, 0], [0, 0], [0, 1]]
    expected = [[0, 1 / 3], [1 / 3, 0], [1 / 4, 1 / 4], [1 / 4, 1 / 4], [0, 1 / 3]]
    np.testing.assert_allclose(weight, expected, rtol=1e-6)


def test_a_window_without_neighbours_or_without_negatives_teaches_nothing():
    for xy in (np.array([[0.0, 0], [200, 0]]), np.array([[0.0, 0], [10, 0]])):
        assert not pair_targets(xy, np.array([0, 1]))[1].any()


def test_a_window_holds_different_cells_with_neighbours_among_them():
    random = np.random.default_rng(0)
    places = places_of(random.uniform(0, 2000, (3000, 2)).astype(np.float32))
    rows = draw_window(places, 32, random)
    assert len(np.unique(rows)) == len(rows) <= 32
    near, _ = pair_targets(places.xy[rows], np.arange(len(rows)))
    assert near.sum() > 20


def test_co_occurrence_is_placed_at_the_ranks_of_its_genes():
    lesson = make_corpus([source()]).lessons[0]
    cell = int(lesson.together[0, 0])
    low, high = lesson.together[0, 1:]
    got = co_matrix(np.array([high, 999, low]), lesson, cell)
    assert got.tolist() == [[False, False, True], [False] * 3, [True, False, False]]


def test_a_batch_is_the_same_for_the_same_seed():
    corpus = make_corpus([source(), source(seed=1)])
    one, two = (draw_batch(corpus, (2, 12, 5), 61, np.random.default_rng(4)) for _ in range(2))
    assert torch.equal(one.first[0], two.first[0])
    assert torch.equal(one.together, two.together)
    assert one.near[0].shape[1] == 5


def test_a_batch_moves_to_a_device_with_all_it_holds():
    batch = draw_batch(make_corpus([source()]), (2, 12, 5), 61, np.random.default_rng(4))
    moved = batch.to(torch.device("meta"))
    assert moved.first[0].shape == batch.first[0].shape
    held = [*moved.first, *moved.second, *moved.near, *moved.all_weight, moved.told, moved.block]
    assert {t.device.type for t in held} == {"meta"}
    assert batch.to(torch.device("cpu")) is batch


def test_a_corpus_of_too_few_cells_is_refused():
    with pytest.raises(TooFewCells, match="50 cells"):
        make_corpus([source(20)])


def test_gradient_reaches_every_parameter():
    training = start_training(tiny_size(), PARAMS, 0)
    one_step(training, make_corpus([source(), source(seed=1)]), PARAMS, 0)
    lost = [n for n, p in training.model.named_parameters() if p.grad is None or not p.grad.any()]
    assert lost == []


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    corpus, ctx = make_corpus([source(), source(seed=1)]), RunContext()
    whole = train(start_training(tiny_size(), PARAMS, 0), corpus, PARAMS, 0, ctx)
    half = start_training(tiny_size(), PARAMS, 0)
    for _ in range(3):
        one_step(half, corpus, PARAMS, 0)
    about = {"seed": 0, "genes": [], "data": [], "licences": [], "metrics": {}}
    save_training(tmp_path / "state", half, about)
    again = resume_training(tmp_path / "state", start_training(tiny_size(), PARAMS, 0), about)
    assert again.step == 3
    train(again, corpus, PARAMS, 0, ctx)
    for one, two in zip(
        whole.model.state_dict().values(), again.model.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two)
    with pytest.raises(BadCheckpoint, match="another seed"):
        resume_training(tmp_path / "state", start_training(tiny_size(), PARAMS, 0), {"seed": 1})


def test_a_checkpoint_brings_back_model_vocabulary_and_medians(tmp_path):
    v, size = vocabulary(), tiny_size()
    model = Former(size, 0).eval()
    card = {"model": "spatialformer", "version": "1", "seed": 0, "genes": list(v.genes),
            "meta": list(v.meta), "size": size.as_json(), "data": [], "licences": [],
            "metrics": {}}  # fmt: skip
    medians = np.arange(1, len(v) + 1, dtype=np.float32)
    save_pretrained(tmp_path / "m", Pretrained(model, v, medians, card))
    got = load_pretrained(tmp_path / "m")
    assert got.vocabulary == v
    assert (got.medians == medians).all()
    a, b = random_cells(3, 0), random_cells(3, 1)
    meta = v.meta_ids({})
    before = together(Pretrained(model, v, medians, card), a, b, meta)
    np.testing.assert_allclose(together(got, a, b, meta), before, atol=0.02)
    save_pretrained(
        tmp_path / "w", Pretrained(model, v, medians, {**card, "meta": card["meta"][1:]})
    )
    with pytest.raises(BadCheckpoint):
        load_pretrained(tmp_path / "w")


def test_the_rate_rises_linearly_and_falls_to_a_tenth():
    params = TrainParams(steps=100, warm=10, rate=1.0)
    assert [learning_rate(s, params) for s in (0, 9)] == [0.1, 1.0]
    assert learning_rate(100, params) == pytest.approx(0.1)


def planted_pairs(n=200):
    """Pairs of short cells, together where G00 is in the first and G01 in the second."""
    random = np.random.default_rng(2)
    first = vocabulary().first_gene
    has = random.random((2, n)) < 0.7
    sides = []
    for side in (0, 1):
        rest = [first + 2 + random.permutation(28)[:4] for _ in range(n)]
        sides.append([np.r_[first + side, g] if h else g
                      for g, h in zip(rest, has[side], strict=True)])  # fmt: skip
    return sides[0], sides[1], torch.from_numpy(has.all(0)).float()


@pytest.mark.parametrize("apart", [0, 1], ids=["published", "meeting in the last block"])
def test_a_planted_rule_of_200_pairs_is_learnt_and_its_genes_found(apart):
    a, b, truth = planted_pairs()
    meta = vocabulary().meta_ids({})
    given = pair_input(a, b, [meta] * 200, [meta] * 200, 61)
    tokens, types = torch.from_numpy(given.tokens), torch.from_numpy(given.types)
    model = Former(tiny_size(apart=apart, width=32), 0).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    random = np.random.default_rng(0)
    for _ in range(60):
        rows = torch.from_numpy(random.permutation(200)[:50])
        optimiser.zero_grad()
        logits = model.pair_logits(tokens[rows], types[rows])
        pair_loss(logits, truth[rows], torch.ones(50)).backward()
        optimiser.step()
    right = (model.eval().pair_logits(tokens, types).argmax(1) == truth).float().mean()
    assert right.item() > 0.95
    case = int(np.flatnonzero(truth.numpy())[0])
    if apart:
        kept = Pretrained(model, vocabulary(), np.ones(len(vocabulary()), np.float32), {})
        lost = one_order(kept, a[case], b[case], meta)
        assert np.unravel_index(lost.argmin(), lost.shape) == (0, 0)


def one_order(kept, a, b, meta):
    """Second differences of the order in which the rule was planted."""
    one, two = encoded(kept, shortened(a), meta).sides, encoded(kept, shortened(b), meta).sides
    scores = 1 / (1 + np.exp(-cross_all(kept.model, one[0], two[1])))
    return -(scores[:-1, :-1] - scores[:-1, -1:] - scores[-1:, :-1] + scores[-1, -1])


def test_the_gene_prior_puts_genes_of_the_same_clumps_together():
    random = np.random.default_rng(0)
    centre = random.uniform(0, 400, (300, 2))
    group = np.arange(300) % 2
    xyz = np.repeat(centre, 12, axis=0) + random.normal(0, 0.8, (3600, 2))
    gene = np.repeat(group, 12) * 3 + random.integers(0, 3, 3600)
    vectors, known, right = learn_prior([gene_graph(xyz, gene, 0)], 7, 8, 0, epochs=20)
    assert known.tolist() == [True] * 6 + [False]
    assert right > 0.6
    v = vectors[:6] - vectors[:6].mean(0)
    assert (v @ v[0] > 0).tolist() == [True] * 3 + [False] * 3


def test_the_prior_is_written_where_a_gene_is_known_and_nowhere_else():
    table = torch.zeros(5, 2)
    put_prior(table, np.array([[0.0, 2], [2, 0]], np.float32), np.array([True, False]),
              np.array([3, 4]))  # fmt: skip
    assert (table[[0, 1, 2, 4]] == 0).all()
