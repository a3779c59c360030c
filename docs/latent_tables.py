"""Fills the tables of ``docs/latent-text.md``: runs the command named above each, and writes down what it found.

    python docs/latent_tables.py            all of them, about a quarter of an hour on two cores
    python docs/latent_tables.py verify     those whose command has this word

The page is read again before each table is written, so it can be edited meanwhile.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "latent-text.md"
_PLACE = re.compile(r"(<!-- run: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def outcome(command: str) -> str:
    """What a command finds, as Markdown; it is ``vlexplain ...``, which saves a table, or ``python FILE ...``."""
    program, *words = command.split()
    if program == "python":
        done = subprocess.run([sys.executable, *words], cwd=ROOT, check=True, capture_output=True, text=True)
        return f"```text\n{done.stdout.rstrip()}\n```\n"
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "table.md")
        run = [sys.executable, "-m", "napari_vlexplain.cli", *words, "--out", str(file)]
        subprocess.run(run, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return re.sub(r"^### (.*)$", r"**\1**", file.read_text(encoding="utf-8"), flags=re.MULTILINE)


def fill(command: str, found: str) -> None:
    """Put what a command found in its place."""
    page = PAGE.read_text(encoding="utf-8")
    new = _PLACE.sub(lambda m: f"{m[1]}{found}{m[3]}" if m[2] == command else m[0], page)
    PAGE.write_text(new, encoding="utf-8")


def main(wanted: list[str]) -> None:
    for _, command, _ in _PLACE.findall(PAGE.read_text(encoding="utf-8")):
        if not wanted or set(wanted) & set(re.split(r"[\s/.]+", command)):
            fill(command, outcome(command))
            print(f"{command}: done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
