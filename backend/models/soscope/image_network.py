"""The first three stages of ResNet-18, as an image goes through them.

He K. et al., Deep residual learning for image recognition, CVPR 2016: a 7 x 7 convolution and a
maximum, each at every second pixel (section 3.3), then stages of blocks y = relu(F(x) + W x) (eqs.
1 and 2), of which F is two 3 x 3 convolutions, and W is 1, or a 1 x 1 convolution where channels
grow (option B). Deviation: the last stage and the classifier are left out; features of tissue are
local.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from backend.models.soscope.image_weights import BLOCKS, CHANNELS

#: Stages that are used; their maps have 64, 128 and 256 channels at every 4th, 8th, 16th pixel.
STAGES = 3
STRIDE = 16
#: Pixels beyond which a pixel has no say in the deepest map: half of 211.
REACH = 112
#: Mean and spread of the images that the weights were trained on, red, green, blue.
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Block(nn.Module):
    """Two 3 x 3 convolutions and what goes round them: (b, c, h, w) to (b, d, h / s, w / s)."""

    def __init__(self, below: int, channels: int, step: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(below, channels, 3, step, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if below != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(below, channels, 1, step, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(F(x) + W x)."""
        inner = functional.relu(self.bn1(self.conv1(x)))
        inner = self.bn2(self.conv2(inner))
        return functional.relu(inner + (x if self.downsample is None else self.downsample(x)))


class Trunk(nn.Module):
    """Image (b, 3, h, w) to maps (b, 448, h / 16, w / 16); h and w are multiples of 16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, CHANNELS[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(CHANNELS[0])
        below = CHANNELS[0]
        for stage, channels in enumerate(CHANNELS[:STAGES], 1):
            steps = [1 if stage == 1 else 2, *[1] * (BLOCKS - 1)]
            first = Block(below, channels, steps[0])
            rest = [Block(channels, channels, step) for step in steps[1:]]
            self.add_module(f"layer{stage}", nn.Sequential(first, *rest))
            below = channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps of all stages, the finer ones averaged down to the coarsest."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.max_pool2d(x, 3, 2, 1)  # (b, 64, h / 4, w / 4)
        maps = []
        for stage in range(1, STAGES + 1):
            x = self.get_submodule(f"layer{stage}")(x)
            maps.append(functional.avg_pool2d(x, 2 ** (STAGES - stage)))
        return torch.cat(maps, dim=1)


def trunk_of(tensors: Mapping[str, NDArray[np.float32]]) -> Trunk:
    """Return the network with these weights, for use and not for training."""
    network = Trunk()
    own = network.state_dict()
    filled = {n: torch.from_numpy(tensors[n]) if n in tensors else own[n] for n in own}
    network.load_state_dict(filled)
    return network.eval().requires_grad_(False)


def image_tensor(rgb: NDArray[np.uint8]) -> Tensor:
    """Return an image (h, w, 3) as the network takes it, (1, 3, h, w) float32."""
    mean, spread = np.array(MEAN, np.float32), np.array(SPREAD, np.float32)
    scaled = (rgb.astype(np.float32) / 255 - mean) / spread
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))[None]
