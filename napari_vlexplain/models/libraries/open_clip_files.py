"""Where an open_clip model's architecture and weights are: ``open_clip:ARCH[:PRETRAINED]``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import VLExplainError
from ...running.run import Run
from ..files.identity import note
from ..files.places import folder_of, folders, hub_file, hub_folder, web_file
from ..files.weights import weights_file
from ..model_info import ModelInfo
from .peft import refuse_adapter

PREPROCESSING = ("mean", "std", "interpolation", "resize_mode", "fill_color")
HUB_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin",
           "open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin", "pytorch_model.pth",
           "model.pth")  # fmt: skip
"""Of a folder that holds several the first is taken, as open_clip does."""


@dataclass(frozen=True)
class Source:
    """What is to be built, and from what.

    architecture : name in open_clip, or what to call the folder.
    weights : the checkpoint.
    folder : with ``open_clip_config.json``, where the architecture is the folder's own.
    tokenizers : folders that may hold a tokenizer's files, the nearest first.
    """

    architecture: str
    weights: Path
    folder: Path | None = None
    quick_gelu: bool = False
    preprocess: dict[str, Any] = field(default_factory=dict)
    tokenizers: tuple[Path, ...] = ()


def find(name: str, info: ModelInfo, download: bool, run: Run) -> Source:
    """Resolve a name to files on this machine, fetching them first if ``download``.

    Raises
    ------
    VLExplainError : an unknown architecture or tag, a missing file, weights not on this machine.
    """
    import open_clip

    rest = name.removeprefix("open_clip:")
    if rest.startswith("local-dir:"):
        return folder_source(Path(rest.removeprefix("local-dir:")).expanduser())
    if rest.startswith("hf-hub:"):
        return folder_source(hub_folder(rest.removeprefix("hf-hub:"), info, download, run))
    architecture, _, pretrained = rest.partition(":")
    if architecture not in open_clip.list_models():
        raise VLExplainError(f"open_clip has no architecture {architecture!r}; one it has is ViT-B-32.")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if not pretrained:
        raise VLExplainError(
            f"{name} names no weights: add a tag, one of {', '.join(tags) or '(none)'}, or the path of a checkpoint."
        )
    if pretrained in tags:
        config = open_clip.get_pretrained_cfg(architecture, pretrained)
        weights = _tagged(config, info, download, run)
        statistics = {key: config[key] for key in PREPROCESSING if config.get(key)}
        # OpenAI's weights want QuickGELU; open_clip builds plain GELU for them and only warns.
        quick = bool(config.get("quick_gelu"))
        places = _tokenizer_folders(architecture, weights, info, download, run)
        return Source(architecture, weights, None, quick, statistics, places)
    weights = note(Path(pretrained).expanduser())
    if not weights.is_file():
        raise VLExplainError(
            f"{pretrained!r} is neither a file nor a tag of {architecture}; its tags are {', '.join(tags) or '(none)'}."
        )
    return Source(architecture, weights, tokenizers=_tokenizer_folders(architecture, weights, info, False, run))


def folder_source(folder: Path) -> Source:
    """A folder in open_clip's own layout.

    Raises
    ------
    VLExplainError : no configuration, or no weights.
    """
    refuse_adapter(folder, "a model of open_clip")
    if not note(folder / "open_clip_config.json").is_file():
        raise VLExplainError(f"{folder} holds no open_clip_config.json, which names the architecture.")
    return Source(f"the architecture of {folder}", weights_file(folder, WEIGHTS), folder, tokenizers=(folder,))


def _tokenizer_folders(architecture: str, weights: Path, info: ModelInfo, download: bool, run: Run) -> tuple[Path, ...]:
    """Where the files of a Hugging Face tokenizer may lie; open_clip's own needs none."""
    import open_clip

    repository = (open_clip.get_model_config(architecture) or {})["text_cfg"].get("hf_tokenizer_name")
    if not repository:
        return ()
    if download:
        hub_file(repository, ("tokenizer.json",), info, download, run)
        hub_file(repository, ("tokenizer_config.json",), info, download, run)
    return weights.parent, folder_of(repository), *folders(repository)


def _tagged(config: dict[str, Any], info: ModelInfo, download: bool, run: Run) -> Path:
    """The checkpoint of a tag: from the hub where it is there, else from its own address."""
    if config.get("hf_hub"):
        repository, _, file = config["hf_hub"].rpartition("/")
        return hub_file(repository, (file,) if file else HUB_WEIGHTS, info, download, run)
    # The address of OpenAI's weights names their hash.
    hashes = [part for part in config["url"].split("/") if len(part) == 64]
    return web_file(config["url"], hashes[0] if hashes else None, info, download, run)
