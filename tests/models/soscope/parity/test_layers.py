import torch

from backend.models.soscope.parity.layers import (
    Block,
    Decoder,
    Encoder,
    GraphAttention,
    parameter_count,
    segment_softmax,
)


def test_the_published_counts_of_parameters_hold():
    assert parameter_count(Encoder(10)) == 203_776
    assert parameter_count(Decoder(2048, 20)) == 347_284
    assert parameter_count(Decoder(256, 20)) == 117_908


def test_segment_softmax_is_the_softmax_of_each_segment():
    score = torch.tensor([1.0, 2.0, 300.0, 0.5, 299.0])
    segment = torch.tensor([0, 0, 2, 0, 2])
    got = segment_softmax(score, segment, 3)
    assert torch.allclose(got[[0, 1, 3]], torch.softmax(score[[0, 1, 3]], 0))
    assert torch.allclose(got[[2, 4]], torch.softmax(score[[2, 4]], 0))


def test_attention_is_that_of_the_equation():
    torch.manual_seed(0)
    layer = GraphAttention(3, 2)
    x = torch.randn(3, 3)
    edges = torch.tensor([[0, 1, 2, 0], [0, 1, 2, 1]])  # loops, and 0 -> 1
    q, k, v = layer.query(x), layer.key(x), layer.value(x)
    weight = torch.softmax(torch.stack([q[1] @ k[1], q[1] @ k[0]]) / 2**0.5, 0)
    expected = layer.root(x[1]) + weight[0] * v[1] + weight[1] * v[0]
    got = layer(x, edges)
    assert torch.allclose(got[1], expected, atol=1e-6)
    assert torch.allclose(got[0], layer.root(x[0]) + v[0], atol=1e-6)


def test_the_order_of_the_edges_does_not_matter():
    torch.manual_seed(0)
    encoder = Encoder(4)
    x = torch.randn(5, 4)
    edges = torch.tensor([[0, 1, 2, 3, 4, 0, 1], [0, 1, 2, 3, 4, 1, 0]])
    shuffled = edges[:, torch.tensor([6, 2, 0, 5, 1, 4, 3])]
    for a, b in zip(encoder(x, edges), encoder(x, shuffled), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert (encoder(x, edges)[1] > 0).all()


def test_a_block_only_adds():
    x = torch.randn(6, 128)
    assert (Block()(x) >= x).all()
