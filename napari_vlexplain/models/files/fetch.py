"""Downloads that resume, are checked against their hash, show progress and can be cancelled. No torch here."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ...errors import VLExplainError
from ...running.run import Run

CHUNK = 1 << 20
TIMEOUT = 30  # seconds without a byte
TRIES = 4


@dataclass(frozen=True)
class Remote:
    """One file to fetch: what is not known of it is None."""

    url: str
    name: str
    size: int | None = None
    sha256: str | None = None


def fetch_all(files: list[Remote], folder: Path, run: Run, token: str | None = None) -> None:
    """Fetch files into a folder; those that are there already, in the right size, stay.

    Raises
    ------
    VLExplainError : no connection, no access, a damaged file, no room on the disk.
    Cancelled : what has arrived stays, and the next call goes on from there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes = [file.size or 1 for file in files]
    for index, file in enumerate(files):
        part = run.part(sum(sizes[:index]) / sum(sizes), sum(sizes[: index + 1]) / sum(sizes))
        fetch(file, folder / file.name, part, token)


def fetch(remote: Remote, target: Path, run: Run, token: str | None = None) -> Path:
    """Fetch one file; see :func:`fetch_all`.

    What arrives is written to ``NAME.part`` and takes its name only when size and hash are right. A part is continued
    only if the hash is known: without it nobody could tell whether the file has changed in between.
    """
    if target.is_file() and (remote.size is None or target.stat().st_size == remote.size):
        return target
    part = target.with_name(f"{target.name}.part")
    if remote.sha256 is None:
        part.unlink(missing_ok=True)
    for attempt in range(TRIES):
        try:
            _receive(remote, part, run, token)
            break
        except urllib.error.HTTPError as error:
            raise VLExplainError(_refused(remote, error.code)) from None
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno == 28:
                raise VLExplainError(f"The disk is full: {remote.name} does not fit into {target.parent}.") from None
            if attempt == TRIES - 1 or isinstance(getattr(error, "reason", None), ConnectionRefusedError):
                raise VLExplainError(
                    f"{remote.name} could not be downloaded ({type(error).__name__}): check the connection and start "
                    "it again; it goes on where it stopped."
                ) from None
    _check(remote, part)
    os.replace(part, target)
    return target


def _receive(remote: Remote, part: Path, run: Run, token: str | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    if remote.size is not None and have >= remote.size:
        return
    request = urllib.request.Request(remote.url, headers={"User-Agent": "napari-vlexplain"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")  # not for whom the hub sends us on to
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        goes_on = response.status == 206
        have = have if goes_on else 0
        length = response.headers.get("Content-Length")
        total = remote.size or (have + int(length) if length else None)
        with part.open("ab" if goes_on else "wb") as stream:
            while True:
                run.step(have / total if total else 0.0, _progress(remote.name, have, total))
                data = response.read(CHUNK)
                if not data:
                    break
                stream.write(data)
                have += len(data)
    if total is not None and have < total:
        raise http.client.IncompleteRead(b"", total - have)


def _progress(name: str, have: int, total: int | None) -> str:
    return f"Downloading {name}: {have / 1e6:.0f}" + (f" of {total / 1e6:.0f} MB" if total else " MB")


def _check(remote: Remote, part: Path) -> None:
    size = part.stat().st_size
    problem = remote.size is not None and size != remote.size
    if not problem and remote.sha256 is not None:
        with part.open("rb") as stream:
            problem = hashlib.file_digest(stream, "sha256").hexdigest() != remote.sha256
    if problem:
        part.unlink()
        raise VLExplainError(
            f"{remote.name} arrived damaged (its size or its hash is not what the source says) and was thrown away: "
            "start the download again."
        )


def _refused(remote: Remote, status: int) -> str:
    if status in (401, 403):
        return (
            f"The hub does not hand out {remote.name} ({status}): accept the model's terms on its page, and log in "
            "with `hf auth login`."
        )
    if status == 404:
        return f"There is no {remote.name} at {remote.url.split('?')[0]}: check the model's name."
    return f"{remote.name} could not be downloaded: the server answers {status}; try again later."


def hub_files(repository: str, patterns: tuple[str, ...], token: str | None = None) -> list[Remote]:
    """The files of a Hugging Face repository that match, with their sizes and, of the large ones, their hashes.

    Only files at the top of the repository count; the endpoint is that of ``huggingface_hub`` (``HF_ENDPOINT``).

    Raises
    ------
    VLExplainError : no connection, no such repository, or none of the files.
    """
    from huggingface_hub import constants

    listing = Remote(f"{constants.ENDPOINT}/api/models/{repository}?blobs=true", repository)
    data = _read_json(listing, token)
    revision = data.get("sha") or "main"
    found = []
    for entry in data.get("siblings", []):
        name = str(entry.get("rfilename", ""))
        if "/" in name or "\\" in name or not any(fnmatch(name, pattern) for pattern in patterns):
            continue
        large = entry.get("lfs") or {}
        url = f"{constants.ENDPOINT}/{repository}/resolve/{revision}/{name}"
        found.append(Remote(url, name, large.get("size") or entry.get("size"), large.get("sha256")))
    if not found:
        raise VLExplainError(f"{repository} on the hub holds none of the files {', '.join(patterns)}.")
    return found


def _read_json(remote: Remote, token: str | None) -> dict[str, Any]:
    request = urllib.request.Request(remote.url, headers={"User-Agent": "napari-vlexplain"})
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise VLExplainError(_refused(remote, error.code)) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise VLExplainError(f"{remote.name} could not be reached ({type(error).__name__}): {OFFLINE}.") from None


OFFLINE = "check the connection, or give the path of a folder that holds the model"
