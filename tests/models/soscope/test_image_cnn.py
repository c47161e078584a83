"""The image network: its convolutions by hand, its windows, and files that are not its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from backend.core.errors import BadFile
from backend.models.soscope.image_cnn import cnn_frame, image_cnn, network_maps
from backend.models.soscope.image_network import MEAN, SPREAD, Trunk, image_tensor, trunk_of
from backend.models.soscope.image_weights import ImageWeights, expected_shapes, read_weights
from tests.models.soscope.planted import random_weights


@pytest.fixture(scope="module")
def weights() -> ImageWeights:
    return ImageWeights(random_weights(), "", "random")


def conv(x: np.ndarray, kernel: np.ndarray, step: int, pad: int) -> np.ndarray:
    """Convolve (c, h, w) with (d, c, k, k), as its definition says."""
    x = np.pad(x, [(0, 0), (pad, pad), (pad, pad)])
    k = kernel.shape[2]
    rows = range(0, x.shape[1] - k + 1, step)
    columns = range(0, x.shape[2] - k + 1, step)
    return np.array(
        [[np.tensordot(kernel, x[:, i : i + k, j : j + k], 3) for j in columns] for i in rows]
    ).transpose(2, 0, 1)


def norm(x: np.ndarray, tensors: dict[str, np.ndarray], name: str) -> np.ndarray:
    weight, bias, mean, var = (
        tensors[f"{name}.{part}"][:, None, None]
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(var + 1e-5) * weight + bias


def test_the_maps_are_the_convolutions_of_the_paper_by_hand(weights: ImageWeights) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (16, 32, 3)).astype(np.uint8)
    t = dict(weights.tensors)
    x = ((rgb / 255 - MEAN) / SPREAD).transpose(2, 0, 1)
    x = np.maximum(norm(conv(x, t["conv1.weight"], 2, 3), t, "bn1"), 0)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1)], constant_values=-np.inf)
    x = np.array(
        [[padded[:, i : i + 3, j : j + 3].max(axis=(1, 2)) for j in range(0, 16, 2)]
         for i in range(0, 8, 2)]
    ).transpose(2, 0, 1)  # fmt: skip
    maps = []
    for stage in (1, 2, 3):
        for block in (0, 1):
            name, step = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            inner = norm(conv(x, t[f"{name}.conv1.weight"], step, 1), t, f"{name}.bn1")
            inner = conv(np.maximum(inner, 0), t[f"{name}.conv2.weight"], 1, 1)
            inner = norm(inner, t, f"{name}.bn2")
            if step == 2:
                around = conv(x, t[f"{name}.downsample.0.weight"], 2, 0)
                x = norm(around, t, f"{name}.downsample.1")
            x = np.maximum(inner + x, 0)
        by = 2 ** (3 - stage)
        maps.append(x.reshape(len(x), 1, by, 2, by).mean(axis=(2, 4)))
    found = network_maps(rgb, trunk_of(t))
    assert found.shape == (448, 1, 2)
    np.testing.assert_allclose(found, np.concatenate(maps), rtol=2e-3, atol=2e-3)


def test_windows_give_the_maps_of_the_whole_image(weights: ImageWeights) -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (180, 250, 3)).astype(np.uint8)
    network = trunk_of(weights.tensors)
    whole, parts = network_maps(rgb, network, 1600), network_maps(rgb, network, 64)
    assert whole.shape == (448, 12, 16)
    np.testing.assert_allclose(parts, whole, rtol=1e-3, atol=1e-3)


def test_features_are_those_of_the_tissue_under_a_subspot(weights: ImageWeights) -> None:
    rng = np.random.default_rng(3)
    rgb = rng.integers(200, 256, (160, 320, 3)).astype(np.uint8)
    rgb[:, 160:] = rng.integers(0, 120, (160, 160, 3))
    centres = np.array([[50, 80], [90, 60], [240, 80], [270, 100]], float)
    found = image_cnn(rgb, centres, 32.0, weights)
    assert found.shape == (4, 448)
    apart = np.linalg.norm(found[:, None] - found[None], axis=2)
    assert max(apart[0, 1], apart[2, 3]) < 0.5 * apart[:2, 2:].min()
    assert np.array_equal(found, image_cnn(rgb, centres, 32.0, weights))


def test_the_network_is_used_and_not_trained() -> None:
    network = trunk_of(random_weights())
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    before = image_tensor(np.full((16, 16, 3), 124, np.uint8))
    assert before.shape == (1, 3, 16, 16)
    assert before.abs().max() < 0.4  # near the mean of the training images


def test_the_names_are_those_of_a_module_of_torch() -> None:
    own = {n: tuple(v.shape) for n, v in Trunk().state_dict().items() if "num_batches" not in n}
    wanted = expected_shapes()
    assert own == {n: s for n, s in wanted.items() if not n.startswith("layer4")}
    assert len(wanted) == 100  # 20 convolutions and 20 normalisations of four tensors


def test_the_image_is_reduced_to_about_a_micrometre() -> None:
    centres = np.array([[2000, 2000], [4000, 4000]], float)
    assert cnn_frame((9000, 9000), centres, 400.0, 100.0).reduce == 4
    assert cnn_frame((9000, 9000), centres, 400.0).reduce == 6  # 64 pixels per subspot
    assert cnn_frame((9000, 9000), centres, 40.0, 100.0).reduce == 1


def test_weights_are_read_with_and_without_their_classifier(tmp_path: Path) -> None:
    tensors = random_weights()
    more = {"fc.weight": np.zeros((10, 512), np.float32), "fc.bias": np.zeros(10, np.float32)}
    counter = {"bn1.num_batches_tracked": np.array(3)}
    save_file({**tensors, **more, **counter}, tmp_path / "w.safetensors")
    found = read_weights(tmp_path / "w.safetensors")
    assert set(found.tensors) == set(tensors)
    assert len(found.sha256) == 64


def test_all_that_is_wrong_with_a_file_of_weights_is_told_at_once(tmp_path: Path) -> None:
    tensors = random_weights()
    del tensors["layer2.0.downsample.0.weight"]
    tensors["conv1.weight"] = tensors["conv1.weight"][:, :1]
    tensors["layer1.2.conv1.weight"] = np.zeros((64, 64, 3, 3), np.float32)
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(BadFile) as raised:
        read_weights(tmp_path / "w.safetensors")
    said = str(raised.value)
    assert "1 tensors are missing: layer2.0.downsample.0.weight" in said
    assert "conv1.weight is (64, 1, 7, 7), not (64, 3, 7, 7)" in said
    assert "not of this network: layer1.2.conv1.weight" in said


def test_pickles_broken_files_and_broken_values_are_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(BadFile, match=r"pickle, which is never loaded.*save_file"):
        read_weights(tmp_path / "w.pth")
    (tmp_path / "x.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(BadFile, match="cannot be read"):
        read_weights(tmp_path / "x.safetensors")
    with pytest.raises(BadFile, match="no such file"):
        read_weights(tmp_path / "none.safetensors")
    tensors = random_weights()
    tensors["bn1.bias"][3] = np.nan
    save_file(tensors, tmp_path / "n.safetensors")
    with pytest.raises(BadFile, match=r"not finite or negative: bn1\.bias"):
        read_weights(tmp_path / "n.safetensors")
