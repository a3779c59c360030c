"""The perception branch: the class from the encoder's last features, gated by the map (ABN, LABN; ALA, section 3)."""

from __future__ import annotations

from torch import Tensor, nn


class Perception(nn.Module):
    """``h_ALA * h_v(k)`` (B, D, gh, gw) -> features (B, W), and from these the classes (B, C)."""

    def __init__(self, encoder_width: int, width: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(encoder_width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
        )  # fmt: skip
        self.classify = nn.Linear(width, classes)

    def features(self, gated: Tensor) -> Tensor:
        return self.layers(gated).mean(dim=(2, 3))

    def forward(self, gated: Tensor) -> Tensor:
        return self.classify(self.features(gated))
