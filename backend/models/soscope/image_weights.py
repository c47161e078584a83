"""Weights of the image network from a file that a person names: checked, and never a pickle.

Names and shapes are those of ResNet-18 (He et al., CVPR 2016, table 1) as torchvision spells them,
so that its weights need no renaming.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from backend.core.errors import BadFile, Fault

#: Channels of the four stages; each has two blocks of two 3 x 3 convolutions.
CHANNELS = (64, 128, 256, 512)
BLOCKS = 2
#: Parts that a file may have, and which the features do not need.
UNUSED = ("fc.weight", "fc.bias")
COUNTER = "num_batches_tracked"
#: Bytes of a file at most; ResNet-18 in single precision has 47 million.
MOST_BYTES = 200_000_000
#: How a file of weights is made, for those who have another.
CONVERT = (
    "Convert a state dict once: safetensors.torch.save_file(model.state_dict(), 'FILE.safetensors')"
)


@dataclass(frozen=True, slots=True)
class ImageWeights:
    """Weights by name, float32, and the SHA-256 of their file."""

    tensors: Mapping[str, NDArray[np.float32]]
    sha256: str
    name: str


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that the network needs, by name."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}
    shapes |= dict(_norm("bn1", 64))
    below = 64
    for stage, channels in enumerate(CHANNELS, 1):
        for block in range(BLOCKS):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (channels, below, 3, 3)
            shapes |= dict(_norm(f"{name}.bn1", channels))
            shapes[f"{name}.conv2.weight"] = (channels, channels, 3, 3)
            shapes |= dict(_norm(f"{name}.bn2", channels))
            if below != channels:
                shapes[f"{name}.downsample.0.weight"] = (channels, below, 1, 1)
                shapes |= dict(_norm(f"{name}.downsample.1", channels))
            below = channels
    return shapes


def read_weights(path: Path) -> ImageWeights:
    """Return the weights in a .safetensors file.

    Raises
    ------
    BadFile
        If the file is no safetensors file, or its tensors are not those of ResNet-18; all that is
        missing, of another shape or unknown is named at once, before anything is loaded.
    """
    _refuse_format(path)
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            _refuse_names(path, shapes)
            wanted = expected_shapes()
            tensors = {name: np.asarray(file.get_tensor(name), np.float32) for name in wanted}
    except (SafetensorError, TypeError) as error:
        raise BadFile(path.name, [_fault(f"it cannot be read ({error})")]) from error
    _refuse_values(path, tensors)
    return ImageWeights(tensors, hashlib.sha256(path.read_bytes()).hexdigest(), path.name)


def _norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the tensors of a batch normalisation."""
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)


def _refuse_format(path: Path) -> None:
    """Raise BadFile for files that are not there, too large, or pickles."""
    if not path.is_file():
        raise BadFile(path.name, [_fault("there is no such file")])
    if path.stat().st_size > MOST_BYTES:
        raise BadFile(path.name, [_fault(f"it has {path.stat().st_size:,} bytes")])
    with path.open("rb") as file:
        first = file.read(9)
    # A zip archive of torch, or a bare pickle: reading either could run code. The header of a
    # safetensors file begins after eight bytes, which may look like anything.
    if first[:2] == b"PK" or (first[:1] == b"\x80" and first[8:] != b"{"):
        raise BadFile(path.name, [_fault("it is a pickle, which is never loaded")])


def _refuse_names(path: Path, found: Mapping[str, tuple[int, ...]]) -> None:
    """Raise BadFile unless all tensors are there with their shapes, and no others."""
    wanted = expected_shapes()
    missing = [name for name in wanted if name not in found]
    other = [n for n in found if n not in wanted and n not in UNUSED and COUNTER not in n]
    wrong = [n for n in wanted if n in found and found[n] != wanted[n]]
    faults = []
    if missing:
        faults.append(_fault(f"{len(missing)} tensors are missing: {_listed(missing)}"))
    if wrong:
        shown = [f"{n} is {found[n]}, not {wanted[n]}" for n in wrong]
        faults.append(_fault(f"{len(wrong)} tensors have another shape: {_listed(shown)}"))
    if other:
        faults.append(_fault(f"{len(other)} tensors are not of this network: {_listed(other)}"))
    if faults:
        raise BadFile(path.name, faults)


def _refuse_values(path: Path, tensors: Mapping[str, NDArray[np.float32]]) -> None:
    broken = [name for name, values in tensors.items() if not np.isfinite(values).all()]
    broken += [n for n, v in tensors.items() if n.endswith("running_var") and (v < 0).any()]
    if broken:
        raise BadFile(path.name, [_fault(f"values are not finite or negative: {_listed(broken)}")])


def _listed(names: list[str]) -> str:
    """Return the first names, and how many follow."""
    more = len(names) - 6
    return ", ".join(names[:6]) + (f" and {more} more" if more > 0 else "")


def _fault(what: str) -> Fault:
    return Fault(what, "weights of the image network", "a .safetensors file of ResNet-18", CONVERT)
