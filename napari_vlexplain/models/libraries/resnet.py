"""A ResNet body with bottleneck blocks, in torchvision's names, without torchvision: the image encoder of BioViL."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """``relu(x' + conv1x1(conv3x3(conv1x1(x))))``, each convolution with batch normalisation; stride in the middle.

    He, Zhang, Ren, Sun, CVPR 2016, with the stride where torchvision has it.
    """

    def __init__(self, channels: int, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        same = stride == 1 and channels == out
        shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.downsample = None if same else shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """Pixels (B, 3, h, w) -> the last feature map (B, C, h/32, w/32)."""

    def __init__(self, stem: int, depths: tuple[int, ...]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        channels = stem
        for number, depth in enumerate(depths):
            width = stem * 2**number
            blocks = []
            for index in range(depth):
                stride = 2 if number > 0 and index == 0 else 1
                blocks.append(Bottleneck(channels, width, 4 * width, stride))
                channels = 4 * width
            self.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = self.get_submodule(name)(x)
        return x


def resnet_for(tensors: Mapping[str, Tensor]) -> ResNet:
    """An empty ResNet of the shape that a state dict (of the body alone) has."""
    depths = (len({key.split(".")[1] for key in tensors if key.startswith(f"layer{n}.")}) for n in (1, 2, 3, 4))
    return ResNet(tensors["conv1.weight"].shape[0], tuple(depths))
