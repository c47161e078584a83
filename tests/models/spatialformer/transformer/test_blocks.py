import torch

from backend.models.spatialformer.transformer.blocks import (
    Block,
    MaskedBatchNorm,
    Residual,
    alibi,
    alibi_slopes,
    slid,
    swiglu,
)
from backend.models.spatialformer.transformer.network import Former, n_parameters
from backend.models.spatialformer.transformer.size import Size, published

#: Disabled branches of the published code that own parameters: 5D -> D, 3 -> D, and convolutions.
UNUSED = 1.52e6


def test_alibi_slopes_of_eight_heads_are_halves_and_of_64_run_from_917_to_0039():
    assert torch.allclose(alibi_slopes(8), 2.0 ** -torch.arange(1.0, 9.0))
    slopes = alibi_slopes(64)
    assert abs(float(slopes[0]) - 0.917) < 1e-3
    assert abs(float(slopes[-1]) - 0.0039) < 1e-4


def test_alibi_table_of_two_heads_is_minus_slope_times_distance():
    table = alibi(torch.tensor([[0, 1, 2]]), 2)[0]
    away = torch.tensor([[0.0, 1, 2], [1, 0, 1], [2, 1, 0]])
    assert torch.allclose(table, torch.stack([-away / 16, -away / 256]))


def test_swiglu_is_the_first_half_times_silu_of_the_second():
    got = swiglu(torch.tensor([[2.0, 1.0]]))
    assert torch.allclose(got, torch.tensor([[2.0 / (1.0 + torch.tensor(-1.0).exp())]]))


def test_a_convolution_without_gradients_is_that_of_torch():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 7, 3, generator=random)
    depth = torch.nn.Conv1d(3, 3, 5, padding=2, groups=3, bias=False)
    got = slid(x, depth.weight[:, 0].detach())
    assert torch.allclose(got, depth(x.transpose(1, 2)).transpose(1, 2), atol=1e-6)


def test_masked_batch_norm_takes_statistics_of_valid_tokens_only():
    norm = MaskedBatchNorm(1).train()
    x = torch.tensor([[[1.0], [3.0], [100.0]]])
    y = norm(x, torch.tensor([[True, True, False]]))
    assert torch.allclose(y[0, :2, 0], torch.tensor([-1.0, 1.0]), atol=1e-4)
    assert torch.allclose(norm.mean, torch.tensor([0.05 * 2.0]))
    assert torch.allclose(norm.variance, torch.tensor([0.95 + 0.05 * 2.0]))


def test_masked_batch_norm_uses_running_statistics_when_evaluating():
    norm = MaskedBatchNorm(1).eval()
    x = torch.tensor([[[1.0], [3.0]]])
    assert torch.allclose(norm(x, torch.ones(1, 2, dtype=torch.bool)), x, atol=1e-4)


def test_drop_path_leaves_out_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    add = Residual(4, 0.5).train()
    add.norm = torch.nn.Identity()
    y = add(torch.zeros(1000, 3, 4), torch.ones(1000, 3, 4)).detach()
    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert (y == y[:, :1, :1]).all()
    assert abs(float(y.mean()) - 1.0) < 0.1


def test_padding_changes_no_valid_state():
    size = Size(30, width=16, blocks=1, heads=2, dropout=0.0, drop_path=0.0)
    model = Former(size).eval()
    tokens, types = torch.tensor([[1, 9, 8, 3]]), torch.ones(1, 4, dtype=torch.long)
    padded = torch.nn.functional.pad(tokens, (0, 30))
    more = model(padded, torch.nn.functional.pad(types, (0, 30)))
    assert torch.allclose(more[:, :4], model(tokens, types), atol=1e-5)


def test_a_block_owns_19_d_squared_plus_52_d_parameters():
    for width in (16, 128):
        size = Size(10, width=width, blocks=1, heads=2)
        assert n_parameters(Block(size)) == 19 * width**2 + 52 * width


def test_generation_1_has_54_6_million_parameters_with_the_unused_ones():
    with torch.device("meta"):
        model = Former.__new__(Former)
        torch.nn.Module.__init__(model)
        model.size = published(1)
        model._build(model.size)
    assert n_parameters(model.blocks) == 50_073_600
    assert n_parameters(model.token) == n_parameters(model.prior) == 998_400
    assert n_parameters(model.masked) == 1_000_350
    assert n_parameters(model.pair) == n_parameters(model.together) == 1_024
    assert abs(n_parameters(model) + UNUSED - 54.6e6) < 0.05e6


def test_generation_2_has_61_million_parameters_with_the_unused_ones():
    with torch.device("meta"):
        model = Former.__new__(Former)
        torch.nn.Module.__init__(model)
        model.size = published(2)
        model._build(model.size)
    assert n_parameters(model.together) == 131_072
    assert abs(n_parameters(model) + UNUSED - 61.0e6) < 0.1e6
