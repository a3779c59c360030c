"""The studies opened last, for one click."""

from __future__ import annotations

import json
from pathlib import Path

from platformdirs import user_data_path

from ..io.files import replace_file

MOST = 8


def recent_studies() -> list[str]:
    """Folders, the last one first; those that are gone are left out."""
    try:
        listed = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    texts = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
    return [one for one in texts if Path(one).exists()][:MOST]


def remember_study(folder: str | Path) -> None:
    """Put a folder first. A disk that refuses is no reason to complain."""
    place = str(Path(folder).resolve())
    listed = [place, *(one for one in recent_studies() if one != place)][:MOST]
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        replace_file(_file(), json.dumps(listed, indent=1).encode())
    except OSError:
        pass


def _file() -> Path:
    return user_data_path("napari-vlexplain", appauthor=False) / "recent-studies.json"
