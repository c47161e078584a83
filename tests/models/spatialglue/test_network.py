from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from backend.core.errors import BadFile
from backend.core.job import RunContext
from backend.models.spatialglue.network import Attention, draw_weights, forward, losses
from backend.models.spatialglue.parity import Arrays, fixture_of, parity_rows
from backend.models.spatialglue.train_reference import sparse_tensor, train
from backend.runs.fixture import read_arrays
from backend.runs.parity_spatialglue import check_spatialglue


def test_attention_weighs_parts_by_the_softmax_of_their_scores() -> None:
    block = Attention(torch.eye(1), torch.tensor([[2.0]]))
    mixed, alpha = block([torch.tensor([[0.5]]), torch.tensor([[-0.5]])])
    score = 2 * np.tanh(0.5)
    first = np.exp(score) / (np.exp(score) + np.exp(-score))
    np.testing.assert_allclose(alpha.numpy(), [[first, 1 - first]], rtol=1e-6)
    np.testing.assert_allclose(mixed.numpy(), [[first * 0.5 - (1 - first) * 0.5]], rtol=1e-6)


def _graph(n: int) -> csr_matrix:
    ring = np.eye(n) + np.eye(n, k=1) + np.eye(n, k=-1)
    return csr_matrix((ring / 3).astype(np.float32))


def test_the_forward_pass_follows_the_equations() -> None:
    n, widths = 5, (3, 2)
    rng = np.random.default_rng(0)
    x = [torch.from_numpy(rng.normal(size=(n, d)).astype(np.float32)) for d in widths]
    graph = sparse_tensor(_graph(n))
    s = graph.to_dense()
    weights = draw_weights(widths, torch.Generator().manual_seed(1), h=4)
    with torch.no_grad():
        out = forward(x, [graph, graph], [graph, graph], weights)
        y0 = s @ x[0] @ weights.encoders[0]  # both graphs are the same, so attention is idle
        torch.testing.assert_close(out.latent[0], y0)
        torch.testing.assert_close(out.reconstruction[1], s @ (out.joint @ weights.decoders[1]))
        back = s @ (s @ (y0 @ weights.decoders[1])) @ weights.encoders[1]
        torch.testing.assert_close(out.cycle[0, 1], back)
        terms = losses(x, out)
    torch.testing.assert_close(terms[2], ((y0 - back) ** 2).mean())
    assert len(terms) == 4


def test_three_modalities_have_three_reconstructions_and_six_cycles() -> None:
    x = [np.random.default_rng(m).normal(size=(6, 3)).astype(np.float32) for m in range(3)]
    graphs = [_graph(6)] * 3
    trained = train(x, graphs, graphs, [1.0] * 9, 3, RunContext(seed=1))
    assert trained.losses.shape == (3, 10)
    assert trained.losses[2, -1] < trained.losses[0, -1]
    np.testing.assert_allclose(trained.last.alpha.sum(dim=1), 1, rtol=1e-5)


def _own_fixture(n: int = 12, widths: tuple[int, int] = (4, 3), epochs: int = 7) -> dict:
    """A fixture of another size, made by training once."""
    rng = np.random.default_rng(5)
    x = [rng.normal(size=(n, d)).astype(np.float32) for d in widths]
    graphs = [_graph(n)] * 2
    weights = draw_weights(widths, torch.Generator().manual_seed(2), h=8)
    initial = [t.detach().clone().numpy() for t in weights.tensors()]
    trained = train(x, graphs, graphs, [2.0, 3.0, 1.0, 4.0], epochs, RunContext(), weights)
    names = ["encoder_omics1.weight", "decoder_omics1.weight", "encoder_omics2.weight",
             "decoder_omics2.weight"]  # fmt: skip
    blocks = ("atten_omics1", "atten_omics2", "atten_cross")
    names += [f"{b}.{p}" for b in blocks for p in ("w_omega", "u_omega")]
    coo = graphs[0].tocoo()
    arrays = {f"init__{k}": v for k, v in zip(names, initial, strict=True)}
    for m in (1, 2):
        arrays[f"feat{m}"] = x[m - 1]
        for kind in ("sp", "ft"):
            arrays[f"adj_{kind}{m}_idx"] = np.stack([coo.row, coo.col])
            arrays[f"adj_{kind}{m}_val"] = coo.data
    arrays |= {"weights": np.array([2.0, 3.0, 1.0, 4.0]), "losses": trained.losses}
    arrays["step0__alpha"] = trained.first.alpha.numpy()
    arrays["final__emb_latent_combined"] = trained.last.joint.numpy()
    return arrays


def test_a_fixture_of_any_size_is_reproduced_and_a_wrong_one_is_not() -> None:
    arrays: Arrays = _own_fixture()
    rows = parity_rows(fixture_of("own", arrays), RunContext())
    assert len(rows) == 5 * 3 + 2
    assert all(row.ok for row in rows)
    wrong = {**arrays, "weights": np.array([2.0, 3.0, 1.0, 4.1])}
    missed = [row.name for row in parity_rows(fixture_of("own", wrong), RunContext()) if not row.ok]
    assert "loss total, step 0" in missed


def test_a_fixture_lists_all_that_it_lacks() -> None:
    arrays = _own_fixture()
    del arrays["adj_ft2_val"], arrays["init__encoder_omics1.weight"]
    with pytest.raises(BadFile, match="2 problems") as caught:
        fixture_of("own", arrays)
    assert "adj_ft2_val" in str(caught.value)


def test_weights_of_another_number_of_modalities_are_refused() -> None:
    with pytest.raises(BadFile, match="for 2 modalities"):
        fixture_of("own", {**_own_fixture(), "weights": np.ones(9)})


def test_the_reference_is_reproduced_step_by_step(parity_fixture: Path) -> None:
    found = check_spatialglue(parity_fixture, RunContext(), epochs=12)
    assert found.ok
    total = next(row for row in found.rows if row.name == "loss total, step 0")
    assert total.reference == pytest.approx(67.60061, abs=1e-4)


@pytest.mark.slow
def test_the_reference_is_reproduced_to_the_end(parity_fixture: Path) -> None:
    found = check_spatialglue(parity_fixture, RunContext())
    assert found.ok
    assert len(read_arrays(parity_fixture, ("losses",))["losses"]) == 200
