"""Which model a name means, as far as can be told without loading it: what was read for it last, if that is unchanged.

::

    identities/NAME.json    {"format": 1, "name": ..., "digest": ..., "files": [[path, stamp, sha256], ...]}

in the user's cache folder; NAME is a hash of :func:`settled`. No torch here.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ...io.files import replace_file
from ..model_info import RESOURCES
from .identity import FileRead, Identity
from .places import hub_cache, models_folder

FORMAT = 1
SCHEMES = ("open_clip:local-dir:", "open_clip:", "timm:", "chexzero:", "cxr-repair:", "remoteclip:")
_seen: dict[str, Identity] = {}


def settled(name: str) -> str:
    """A name with the path in it made absolute; one without says where downloads lie, which decides what it means."""
    if name in _on_board():
        return name
    scheme = next((known for known in SCHEMES if name.startswith(known)), "")
    head, place = scheme, name.removeprefix(scheme)
    if scheme in ("open_clip:", "timm:"):
        architecture, _, place = place.partition(":")
        head = f"{scheme}{architecture}:"
    path = os.path.expanduser(place)
    if place and os.path.exists(path):
        return head + os.path.abspath(path)
    return f"{name}\0{models_folder()}\0{hub_cache()}"


@lru_cache(maxsize=1)
def _on_board() -> frozenset[str]:
    """What comes with the package is that, whatever lies in the working directory."""
    return frozenset(place.name for place in (RESOURCES / "models").iterdir())


def known(name: str) -> Identity | None:
    """The identity of what the name means now; None where that is not known, and the model has to be loaded to know."""
    key = settled(name)
    found = _seen.get(key)
    if found is None or found.changed():  # another program may have read it since
        found = _read(key)
        if found is None or found.changed():
            return None
        _seen[key] = found
    return found


def weights_of(name: str) -> str:
    """The digest of :func:`known`; "" where it is not known."""
    found = known(name)
    return "" if found is None else found.digest


def last_read(name: str) -> tuple[FileRead, ...]:
    """The files that were read for the name last, whether they have changed or not."""
    key = settled(name)
    found = _seen.get(key) or _read(key)
    return () if found is None else found.files


def keep(name: str, identity: Identity) -> None:
    """Keep what was read for a name; a disk that refuses is none the worse."""
    key = settled(name)
    before, _seen[key] = _seen.get(key) or _read(key), identity
    if before == identity:
        return
    files = [[file.path, list(file.stamp), file.sha256] for file in identity.files]
    document = {"format": FORMAT, "name": key, "digest": identity.digest, "files": files}
    with suppress(OSError):
        place = _place(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, json.dumps(document).encode("utf-8", "backslashreplace"))


def forget() -> None:
    """Let go of what is known in memory; what is on disk stays."""
    _seen.clear()


def _place(key: str) -> Path:
    from platformdirs import user_cache_path

    name = hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()
    return user_cache_path("napari-vlexplain", appauthor=False) / "identities" / f"{name}.json"


def _read(key: str) -> Identity | None:
    try:
        document = json.loads(_place(key).read_text(encoding="utf-8"))
        if document["format"] != FORMAT or document["name"] != key:
            return None
        files = tuple(FileRead(str(path), tuple(map(int, at)), str(sha)) for path, at, sha in document["files"])
        return Identity(files, str(document["digest"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
