"""Where models lie on this machine, and how they get there. No torch here."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from ..errors import VLExplainError
from ..running import Run
from .fetch import Remote, fetch, fetch_all, hub_files
from .zoo import ModelInfo

FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
"""What a model's folder consists of; ``pytorch_model.bin`` only where there are no safetensors."""


def models_folder() -> Path:
    """Where downloads go, a folder for each model; ``VLEXPLAIN_MODELS`` chooses another."""
    chosen = os.environ.get("VLEXPLAIN_MODELS")
    return Path(chosen).expanduser() if chosen else platformdirs.user_data_path("napari-vlexplain") / "models"


def folder_of(repository: str) -> Path:
    """The folder of one hub model: ``ORG--NAME`` in :func:`models_folder`."""
    return models_folder() / repository.replace("/", "--")


def hub_folder(
    repository: str, info: ModelInfo | None, download: bool, run: Run, files: tuple[str, ...] = FILES
) -> Path:
    """The local folder of a hub model: ours, that of the Hugging Face cache, or, if ``download``, a fresh one.

    Raises
    ------
    VLExplainError : it is not here and must not, or cannot, be fetched.
    """
    own = folder_of(repository)
    if _complete(own):
        return own
    cached = _cached_folder(repository)
    if cached is not None:
        return cached
    if not download:
        raise not_here(repository, info)
    token = _token()
    patterns = (*files, *(info.files if info else ()))
    remote = hub_files(repository, (*patterns, "*.bin"), token)
    if any(file.name.endswith(".safetensors") for file in remote):
        remote = [file for file in remote if not file.name.endswith(".bin")]
    _unfinished(own).parent.mkdir(parents=True, exist_ok=True)
    _unfinished(own).touch()
    fetch_all(remote, own, run, token)
    _unfinished(own).unlink()
    return own


def hub_file(repository: str, names: tuple[str, ...], info: ModelInfo | None, download: bool, run: Run) -> Path:
    """One file of a hub repository, the first of ``names`` that there is; see :func:`hub_folder`."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        if (folder_of(repository) / name).is_file():
            return folder_of(repository) / name
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    if not download:
        raise not_here(repository, info, names[:1])
    token = _token()
    remote = {file.name: file for file in hub_files(repository, names, token)}
    chosen = next(remote[name] for name in names if name in remote)
    folder_of(repository).mkdir(parents=True, exist_ok=True)
    return fetch(chosen, folder_of(repository) / chosen.name, run, token)


def web_file(url: str, sha256: str | None, info: ModelInfo | None, download: bool, run: Run) -> Path:
    """A file with an address of its own, kept in :func:`models_folder`."""
    name = url.rpartition("/")[2]
    target = models_folder() / name
    if target.is_file():
        return target
    if not download:
        raise not_here(info.name if info else name, info, (name,), models_folder())
    target.parent.mkdir(parents=True, exist_ok=True)
    return fetch(Remote(url, name, None, sha256), target, run)


def not_here(
    name: str, info: ModelInfo | None, files: tuple[str, ...] = (), folder: Path | None = None
) -> VLExplainError:
    """What to say of a model that must not be fetched unasked: how to allow it, and which files to put where."""
    size = f" ({info.size_mb} MB, licence {info.licence})" if info and info.size_mb else ""
    gated = " its terms must be accepted on its page on the hub first;" if info and info.gated else ""
    wanted = (
        files
        or (info.files if info else ())
        or ("config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json")
    )
    return VLExplainError(
        f"{name}{size} is not on this machine:{gated} allow the download (download=True, --download, or the tick box), "
        f"or put its files ({', '.join(wanted)}) into {folder or folder_of(name)}."
    )


def is_here(name: str, info: ModelInfo | None = None) -> bool:
    """Can a model be loaded without a download? A look at folders, no network; True only if we know it."""
    if info is not None and info.local:
        return True
    repository = info.repository if info and info.repository else name
    return (
        Path(name).expanduser().exists() or _complete(folder_of(repository)) or _cached_folder(repository) is not None
    )


def _complete(folder: Path) -> bool:
    return folder.is_dir() and not _unfinished(folder).exists() and any(folder.iterdir())


def _unfinished(folder: Path) -> Path:
    """A mark beside the folder while it is being filled."""
    return folder.with_name(f".{folder.name}.unfinished")


def _cached_folder(repository: str) -> Path | None:
    """The snapshot in the Hugging Face cache, if it holds weights."""
    from huggingface_hub import constants

    snapshots = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"
    found = [folder for folder in snapshots.glob("*") if any(_weights(folder))]
    return max(found, key=lambda folder: folder.stat().st_mtime, default=None)


def _weights(folder: Path) -> list[Path]:
    return [file for pattern in ("*.safetensors", "*.bin", "*.pt") for file in folder.glob(pattern)]


def _token() -> str | None:
    """What the person has logged in with on the hub, for gated models; the library keeps it."""
    from huggingface_hub import get_token

    return get_token()
