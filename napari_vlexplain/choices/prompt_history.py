"""Prompts that were used before, newest first, kept on disk between sessions. No Qt here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

LIMIT = 100


def default_file() -> Path:
    """``prompts.json`` in the user's configuration folder."""
    from platformdirs import user_config_path

    return user_config_path("napari-vlexplain", appauthor=False) / "prompts.json"


class PromptHistory:
    """At most ``limit`` prompts, each once. A file that cannot be read or written costs the history, never the work."""

    def __init__(self, file: Path | None = None, limit: int = LIMIT) -> None:
        self._file = file or default_file()
        self._limit = limit
        self._prompts = self._read()

    @property
    def prompts(self) -> tuple[str, ...]:
        """Newest first."""
        return tuple(self._prompts)

    def add(self, prompts: Iterable[str]) -> None:
        """Put prompts first, in their order, and write the file."""
        # Another window may have written since.
        self._prompts = list(dict.fromkeys([*prompts, *self._prompts, *self._read()]))[: self._limit]
        self._write()

    def clear(self) -> None:
        """Forget them, on disk too."""
        self._prompts = []
        self._write()

    def _read(self) -> list[str]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        prompts = found.get("prompts") if isinstance(found, dict) else None
        texts = [text for text in prompts if isinstance(text, str)] if isinstance(prompts, list) else []
        return list(dict.fromkeys(texts))[: self._limit]

    def _write(self) -> None:
        unfinished = self._file.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(
                json.dumps({"prompts": self._prompts}, ensure_ascii=False, indent=1), encoding="utf-8"
            )
            unfinished.replace(self._file)
        except OSError:
            return
