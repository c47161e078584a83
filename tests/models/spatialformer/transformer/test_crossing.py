import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from backend.core.errors import BadCheckpoint
from backend.models.spatialformer.transformer.crossing import cls_alone
from backend.models.spatialformer.transformer.perturb import (
    remove_pairs,
    remove_pairs_one_by_one,
)
from backend.models.spatialformer.transformer.score import (
    embed_cells,
    pair_scores,
    read_cells,
    together,
)
from backend.models.spatialformer.transformer.tokens import single_input
from tests.models.spatialformer.transformer.tiny import GENES, random_cells, tiny_pretrained

META = np.array([4, 5, 6, 7])


@pytest.mark.parametrize("head", ["cls", "match"])
def test_crossed_pairs_score_as_whole_forwards_do(head):
    kept = tiny_pretrained(pair_head=head)
    a, b = random_cells(4, 0), random_cells(3, 1)
    got = together(kept, a, b, META)
    for i in range(4):
        whole, _ = pair_scores(kept.model, [a[i]] * 3, b, META)
        np.testing.assert_allclose(got[i], whole, atol=2e-5)


def test_the_order_of_two_cells_does_not_matter():
    kept = tiny_pretrained()
    a, b = random_cells(4, 0), random_cells(3, 1)
    np.testing.assert_allclose(together(kept, a, b, META), together(kept, b, a, META).T, atol=1e-6)
    published = tiny_pretrained(apart=0)
    there, _ = pair_scores(published.model, a[:3], b, META)
    back, _ = pair_scores(published.model, b, a[:3], META)
    np.testing.assert_allclose(there, back, atol=1e-6)


def test_the_second_cell_changes_the_score_of_both_kinds_of_model():
    for apart in (0, 1):
        model = tiny_pretrained(apart=apart).model
        a, b = random_cells(1, 0), random_cells(2, 1)
        scores, _ = pair_scores(model, a * 2, b, META)
        assert abs(scores[0] - scores[1]) > 1e-4


@pytest.mark.parametrize("head", ["cls", "match"])
def test_removing_pairs_at_once_equals_one_forward_per_pair(head):
    kept = tiny_pretrained(pair_head=head)
    a, b = random_cells(1, 2, 8)[0], random_cells(1, 3, 8)[0]
    fast = remove_pairs(kept, a, b, META)
    slow = remove_pairs_one_by_one(kept.model, a, b, META)
    np.testing.assert_allclose(fast.without, slow.without, atol=2e-5)
    np.testing.assert_allclose(fast.both, slow.both, atol=4e-5)
    np.testing.assert_allclose(fast.pair, slow.pair, atol=8e-5)
    assert fast.both.shape == (len(a), len(b))


def test_cells_that_see_one_another_from_the_first_block_cannot_be_crossed():
    with pytest.raises(BadCheckpoint, match="from the first block on"):
        together(tiny_pretrained(apart=0), random_cells(1, 0), random_cells(1, 1), META)


def test_the_embedding_of_a_cell_does_not_depend_on_its_batch():
    kept = tiny_pretrained()
    counts = csr_matrix(np.random.default_rng(0).poisson(0.4, (70, 30)).astype(np.float32))
    read = read_cells(kept, counts, GENES, {"species": "mouse"})
    every = embed_cells(kept, read)
    alone = embed_cells(kept, read_cells(kept, counts[5:6], GENES, {"species": "mouse"}))
    assert every.shape == (70, 16)
    np.testing.assert_allclose(every[5], alone[0], atol=1e-5)


@pytest.mark.parametrize("apart", [0, 1])
def test_cls_of_a_cell_is_that_of_the_whole_last_block(apart):
    model = tiny_pretrained(apart=apart).model
    one = single_input(random_cells(5, 0), [META] * 5, 61)
    tokens, types = torch.from_numpy(one.tokens), torch.from_numpy(one.types)
    with torch.no_grad():
        whole = model(tokens, types)[:, 0]
        np.testing.assert_allclose(cls_alone(model, tokens, types), whole, atol=1e-5)


def test_unknown_genes_cut_cells_and_empty_cells_are_told():
    kept = tiny_pretrained(longest=31)
    counts = np.ones((3, 32), np.float32)
    counts[2, :30] = 0
    read = read_cells(kept, csr_matrix(counts), (*GENES, "X1", "X2"), {})
    assert read.unknown == ("X1", "X2")
    assert read.notes == (
        "2 of 32 genes are not in the vocabulary and were left out: X1, X2.",
        "2 of 3 cells have more than the 10 genes that fit; their lowest ranks were cut.",
        "1 cells have none of the known genes: their embedding says nothing.",
    )
