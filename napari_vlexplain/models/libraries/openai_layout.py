"""Checkpoints in the layout of OpenAI's CLIP that come with habits of their own: CheXzero, CXR-RePaiR, RemoteCLIP.

``chexzero:FILE``, ``cxr-repair:FILE``, ``remoteclip:FILE``; without a file, the one in the model's own folder (of
RemoteCLIP ``remoteclip:ViT-B-32`` and so on, which the hub has).
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from ...errors import VLExplainError
from ...running.run import Run
from ..dual_encoder import DualEncoder
from ..files.identity import note
from ..files.places import hub_file, models_folder
from ..model_info import ModelInfo
from ..vision.preprocess import Preprocess
from ..vision.resizing import Keeping
from . import from_open_clip

REMOTE_CLIP = "chendelong/RemoteCLIP"
RADIOGRAPH = 101.48761 / 255, 83.43944 / 255
"""Mean and standard deviation of CheXzero's radiographs, which it gives for values of 0 to 255."""


def open_name(name: str, info: ModelInfo, device: torch.device, download: bool, run: Run) -> DualEncoder:
    """Find the file that a name means and open it.

    Raises
    ------
    VLExplainError : it is not here, or not such a checkpoint.
    """
    scheme, _, rest = name.partition(":")
    path = Path(rest).expanduser()
    if scheme == "remoteclip":
        file = path if note(path).is_file() else hub_file(REMOTE_CLIP, (f"RemoteCLIP-{rest}.pt",), info, download, run)
        return from_open_clip.open_state_dict(file, info, device)
    found = from_open_clip.open_state_dict(path if rest else _own(scheme), info, device)
    found.preprocess = chest(found.preprocess.size)
    return found


def chest(size: tuple[int, int]) -> Preprocess:
    """Letterboxed to 320 pixels, then to the model's input: the preprocessing of CheXzero and CXR-RePaiR."""
    mean, std = RADIOGRAPH
    return Preprocess(
        size=size,
        resize=Keeping(320, 320),
        mean=(mean,) * 3,
        std=(std,) * 3,
        canvas=(320, 320),
        resample=Image.Resampling.BICUBIC,
    )


def _own(scheme: str) -> Path:
    folder = note(models_folder() / scheme)
    files = sorted([*folder.glob("*.pt"), *folder.glob("*.safetensors")])
    if not files:
        raise VLExplainError(
            f"The weights of {scheme} are not on this machine and on no hub: put the .pt file that its authors hand "
            f"out into {folder}, or choose {scheme}:FILE."
        )
    return files[0]
