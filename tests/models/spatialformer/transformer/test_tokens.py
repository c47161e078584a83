import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.core.errors import NoSharedGenes
from backend.models.spatialformer.transformer.tokens import (
    corpus_medians,
    genes_each,
    pair_input,
    ranked,
    single_input,
)
from backend.models.spatialformer.transformer.vocabulary import make_vocabulary


def vocabulary():
    meta = {"condition": "healthy", "tissue": "brain", "species": "mouse", "assay": "MERFISH"}
    return make_vocabulary([("Gad1", "Aqp4"), ("GAD1", "Slc17a7")], [meta])


def test_the_vocabulary_holds_specials_meta_tokens_and_genes_in_alphabetical_order():
    v = vocabulary()
    assert v.genes == ("Aqp4", "GAD1", "Slc17a7")
    assert v.meta[:2] == ("condition:?", "condition:healthy")
    assert v.first_gene == 4 + 8
    assert len(v) == 15
    assert v.gene_ids(["slc17a7", "Xyz", "Gad1"]).tolist() == [14, -1, 13]
    assert v.unknown(["slc17a7", "Xyz"]) == ("Xyz",)


def test_the_vocabulary_does_not_depend_on_the_order_of_sections():
    meta = [{"species": "mouse"}, {"species": "human"}]
    one = make_vocabulary([("A", "B"), ("c",)], meta)
    two = make_vocabulary([("c",), ("B", "A")], meta[::-1])
    assert one == two


def test_meta_values_that_are_not_known_become_a_question_mark():
    v = vocabulary()
    ids = v.meta_ids({"species": "Mouse", "tissue": "kidney"})
    names = [v.meta[i - 4] for i in ids]
    assert names == ["condition:?", "tissue:?", "species:mouse", "assay:?"]


def test_a_panel_without_a_known_gene_is_refused_with_what_is_known():
    with pytest.raises(NoSharedGenes, match="None of the 2 genes") as caught:
        vocabulary().gene_ids(["X1", "X2"])
    assert "Aqp4" in caught.value.hints[0]


def test_corpus_medians_are_of_non_zero_values_over_all_sections():
    one = csr_matrix(np.array([[1.0, 0], [3, 2]]))
    two = csr_matrix(np.array([[0.0, 8], [5, 4]]))
    medians = corpus_medians([(one, np.array([2, 3])), (two, np.array([2, 3]))], 5)
    assert medians.tolist() == [1, 1, 3, 4, 1]


def test_genes_are_ordered_by_value_over_median_and_ties_by_vocabulary_id():
    counts = csr_matrix(np.array([[4.0, 4, 2, 0, 1], [0, 0, 0, 0, 0]]))
    medians = np.array([1, 1, 1, 4, 1, 1, 1], np.float32)
    cells = ranked(counts, np.array([6, 3, 4, 5, -1]), medians)
    # 6: 4 / 1; 4: 2 / 1; 3: 4 / 4; 5 is zero; the last has no token
    assert cells.of(0).tolist() == [6, 4, 3]
    assert cells.of(1).tolist() == []
    tied = ranked(csr_matrix(np.array([[2.0, 2, 2]])), np.array([6, 3, 4]), np.ones(7, np.float32))
    assert tied.of(0).tolist() == [3, 4, 6]


def test_token_order_does_not_depend_on_the_order_of_columns():
    counts = np.array([[2.0, 2, 1, 2]])
    ids, medians = np.array([9, 4, 7, 5]), np.ones(10, np.float32)
    other = [2, 0, 3, 1]
    one = ranked(csr_matrix(counts), ids, medians)
    two = ranked(csr_matrix(counts[:, other]), ids[other], medians)
    assert one.of(0).tolist() == two.of(0).tolist() == [4, 5, 9, 7]


META = np.array([5, 6, 7, 8])


def test_single_input_is_cls_meta_genes_sep():
    got = single_input([np.array([20, 21]), np.array([22])], [META, META], 50)
    assert got.tokens.tolist() == [[1, 5, 6, 7, 8, 20, 21, 3], [1, 5, 6, 7, 8, 22, 3, 0]]
    assert got.types.tolist() == [[1] * 8, [1] * 7 + [0]]
    second = single_input([np.array([20])], [META], 50, role=2)
    assert second.tokens.tolist() == [[5, 6, 7, 8, 20, 3]]
    assert second.types.tolist() == [[2] * 6]


def test_pair_input_joins_both_cells_behind_one_cls():
    got = pair_input([np.array([20, 21])], [np.array([22])], [META], [META], 50)
    assert got.tokens.tolist() == [[1, 5, 6, 7, 8, 20, 21, 3, 5, 6, 7, 8, 22, 3]]
    assert got.types.tolist() == [[1] * 8 + [2] * 6]
    assert got.cut == 0


def test_a_pair_that_is_too_long_is_cut_on_both_sides_and_says_so():
    assert genes_each(17) == 3
    long, short = np.arange(20, 30), np.array([40])
    got = pair_input([long], [long], [META], [META], 17)
    assert got.tokens.shape == (1, 17)
    assert got.cut == 2
    one = pair_input([long], [short], [META], [META], 17)
    assert (one.tokens[0] == 24).any()
    assert not (one.tokens[0] == 25).any()
    assert one.cut == 1
