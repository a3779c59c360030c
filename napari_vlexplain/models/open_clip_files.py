"""Where an open_clip model's architecture and weights are: ``open_clip:ARCH[:PRETRAINED]``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from ..errors import VLExplainError
from .zoo import ModelInfo


@dataclass(frozen=True)
class Source:
    """What ``open_clip.create_model`` is to be called with."""

    architecture: str
    checkpoint: str | None
    weights: Path
    quick_gelu: bool = False
    preprocess: dict[str, Any] = field(default_factory=dict)


def find(name: str, known: ModelInfo | None, download: bool) -> Source:
    """Resolve a name to files on this machine, fetching them first if ``download``.

    Raises
    ------
    VLExplainError : an unknown architecture or tag, a missing file, weights not on this machine.
    """
    import open_clip

    rest = name.removeprefix("open_clip:")
    if rest.startswith("local-dir:"):
        return _folder(Path(rest.removeprefix("local-dir:")).expanduser())
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
        weights = _tagged(name, config, known, download)
        statistics = {key: config[key] for key in ("mean", "std", "interpolation", "resize_mode") if config.get(key)}
        # OpenAI's weights want QuickGELU; open_clip builds plain GELU for them and only warns.
        return Source(architecture, str(weights), weights, bool(config.get("quick_gelu")), statistics)
    weights = Path(pretrained).expanduser()
    if not weights.is_file():
        raise VLExplainError(
            f"{pretrained!r} is neither a file nor a tag of {architecture}; its tags are {', '.join(tags) or '(none)'}."
        )
    return Source(architecture, str(weights), weights)


def _folder(folder: Path) -> Source:
    if not (folder / "open_clip_config.json").is_file():
        raise VLExplainError(f"{folder} holds no open_clip_config.json, which names the architecture.")
    for file in ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"):
        if (folder / file).is_file():
            return Source(f"local-dir:{folder}", None, folder / file)
    raise VLExplainError(f"{folder} holds no weights: it needs open_clip_model.safetensors.")


def _tagged(name: str, config: dict[str, Any], known: ModelInfo | None, download: bool) -> Path:
    from open_clip.pretrained import download_pretrained

    from .loading import _not_here

    found = _cached(config)
    if found is not None:
        return found
    if not download:
        raise _not_here(name, known, download, FileNotFoundError())
    try:
        return Path(download_pretrained(config))
    except Exception as error:
        raise _not_here(name, known, download, error) from None


def _cached(config: dict[str, Any]) -> Path | None:
    """The checkpoint of a tag, if it is on this machine."""
    from huggingface_hub import try_to_load_from_cache

    if config.get("hf_hub"):
        repository, _, file = config["hf_hub"].rpartition("/")
        for candidate in (file,) if file else ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"):
            path = try_to_load_from_cache(repository, candidate)
            if isinstance(path, str):
                return Path(path)
    if config.get("url"):
        path = Path("~/.cache/clip").expanduser() / Path(urlparse(config["url"]).path).name
        if path.is_file():
            return path
    return None
