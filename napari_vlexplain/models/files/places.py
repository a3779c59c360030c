"""Where models lie on this machine, and how they get there. No torch here, and no network but to download."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from ...errors import VLExplainError
from ...running.run import Run
from ..model_info import ModelInfo
from .fetch import Remote, fetch, fetch_all, hub_files
from .identity import arrived, note

FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
"""What a model's folder consists of; ``*.bin`` only where there are no safetensors."""

USUAL = ("config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json")


def models_folder() -> Path:
    """Where downloads go, a folder for each model; ``VLEXPLAIN_MODELS`` chooses another."""
    chosen = os.environ.get("VLEXPLAIN_MODELS")
    return Path(chosen).expanduser() if chosen else platformdirs.user_data_path("napari-vlexplain") / "models"


def folder_of(repository: str) -> Path:
    """The folder of one hub model: ``ORG--NAME`` in :func:`models_folder`."""
    return models_folder() / repository.replace("/", "--")


def hub_cache() -> Path:
    """The cache of the Hugging Face libraries, whose downloads serve us too."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def is_here(name: str, info: ModelInfo | None = None) -> bool:
    """Can the model be loaded without a download, as far as a look at folders can tell?

    ``info`` is what is known of it by name. Of an open_clip tag that is not in the list only open_clip knows where
    its file lies; then the answer is no.
    """
    rest = name.partition(":")[2]
    local = rest.rpartition(":")[2].removeprefix("local-dir:")
    if (info is not None and info.local) or Path(name).expanduser().exists():
        return True
    if rest and Path(local).expanduser().exists():
        return True
    if info is not None and not info.repository and "/" not in name:
        return any((models_folder() / name).glob("*.pt"))
    repository = info.repository if info and info.repository else rest.removeprefix("hf-hub:") if rest else name
    wanted = info.files if info else ()
    return any(
        all((folder / file).is_file() for file in wanted) and (wanted or _weights(folder))
        for folder in folders(repository)
    )


def hub_folder(
    repository: str, info: ModelInfo | None, download: bool, run: Run, files: tuple[str, ...] = FILES
) -> Path:
    """The local folder of a hub model: ours, that of the Hugging Face cache, or, if ``download``, a fresh one.

    Raises
    ------
    VLExplainError : it is not here and must not, or cannot, be fetched.
    Cancelled : what has arrived stays; the next call goes on from there.
    """
    for folder in folders(repository):
        if _weights(folder) and any(folder.glob("*.json")):
            return folder
    if not download:
        raise not_here(repository, info)
    token = _token()
    patterns = (*files, *(info.files if info else ()), "*.bin")
    remote = hub_files(repository, patterns, token)
    if any(file.name.endswith(".safetensors") for file in remote):
        remote = [file for file in remote if not file.name.endswith(".bin")]
    own, mark = folder_of(repository), _unfinished(folder_of(repository))
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    fetch_all(remote, own, run, token)
    mark.unlink()
    arrived(models_folder())
    return own


def hub_file(repository: str, names: tuple[str, ...], info: ModelInfo | None, download: bool, run: Run) -> Path:
    """One file of a hub repository, the first of ``names`` that there is; see :func:`hub_folder`."""
    for folder in folders(repository):
        for name in names:
            if note(folder / name).is_file():
                return folder / name
    if not download:
        raise not_here(repository, info, names[:1])
    token = _token()
    remote = {file.name: file for file in hub_files(repository, names, token)}
    chosen = next(remote[name] for name in names if name in remote)
    folder_of(repository).mkdir(parents=True, exist_ok=True)
    file = fetch(chosen, folder_of(repository) / chosen.name, run, token)
    arrived(models_folder())
    return file


def web_file(url: str, sha256: str | None, info: ModelInfo | None, download: bool, run: Run) -> Path:
    """A file with an address of its own, kept in :func:`models_folder`."""
    name = url.rpartition("/")[2]
    for folder in (models_folder(), Path("~/.cache/clip").expanduser()):
        if note(folder / name).is_file():
            return folder / name
    if not download:
        raise not_here(info.name if info else name, info, (name,), models_folder())
    models_folder().mkdir(parents=True, exist_ok=True)
    file = fetch(Remote(url, name, None, sha256), models_folder() / name, run)
    arrived(models_folder())
    return file


def not_here(
    name: str, info: ModelInfo | None, files: tuple[str, ...] = (), folder: Path | None = None
) -> VLExplainError:
    """What to say of a model that must not be fetched unasked: how to allow it, and which files to put where."""
    size = f" ({info.size_mb} MB, licence {info.licence})" if info and info.size_mb else ""
    gated = (
        " accept its terms on its page on the hub and log in with `hf auth login`, then" if info and info.gated else ""
    )
    wanted = files or (info.files if info else ()) or USUAL
    return VLExplainError(
        f"{name}{size} is not on this machine:{gated} allow the download (download=True, --download, or the tick box), "
        f"or put its files ({', '.join(wanted)}) into {folder or folder_of(name)}."
    )


def folders(repository: str) -> list[Path]:
    """Where a hub model may lie: in our folder if it is whole, then the snapshots of the hub's cache, newest first."""
    own = folder_of(repository)
    snapshots = hub_cache() / f"models--{repository.replace('/', '--')}" / "snapshots"
    held = (folder for folder in snapshots.glob("*") if folder.is_dir())
    found = sorted(held, key=lambda f: f.stat().st_mtime, reverse=True)
    for place in (own, _unfinished(own), snapshots, *found):
        note(place)
    return [own, *found] if own.is_dir() and not _unfinished(own).exists() else found


def _unfinished(folder: Path) -> Path:
    """A mark beside the folder while it is being filled."""
    return folder.with_name(f".{folder.name}.unfinished")


def _weights(folder: Path) -> bool:
    return any(file.is_file() for pattern in ("*.safetensors", "*.bin", "*.pt") for file in folder.glob(pattern))


def _token() -> str | None:
    """What the person has logged in with on the hub, for gated models; the library keeps it."""
    from huggingface_hub import get_token

    return get_token()
