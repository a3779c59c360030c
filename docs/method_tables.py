"""Writes the generated parts of ``docs/methods.md``: head line and parameter table of each method.

Run it from anywhere: ``python docs/method_tables.py``; ``--check`` only says whether the page is up to date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from napari_vlexplain.methods.catalogue import list_methods  # noqa: E402
from napari_vlexplain.methods.info import MethodInfo  # noqa: E402

PAGE = ROOT / "docs" / "methods.md"
_PART = re.compile(r"<!-- method: (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def table(info: MethodInfo) -> str:
    """What the registry knows of a method, as Markdown."""
    needs = ", ".join(f"`{name}`" for name in sorted(info.requires)) or "nothing"
    facts = [f"{info.summary}", "", f"Source: {info.source}. Needs: {needs}."]
    facts[-1] += "".join(f" {limit}" for limit in info.limits)
    facts[-1] += f" {info.measured}" if info.measured and info.measured not in info.limits else ""
    facts[-1] += " Scores are signed." if info.signed else ""
    if not info.parameters:
        return "\n".join([*facts, "", "No parameters."])
    rows = ["| parameter | symbol | default | range | |", "|---|---|---|---|---|"]
    for p in info.parameters:
        default = "automatic" if p.default is None else p.default
        rows.append(f"| `{p.name}` | {p.symbol} | {default} | {p.range} | {p.help.replace('|', '&#124;')} |")
    return "\n".join([*facts, "", *rows])


def filled(page: str) -> str:
    """The page with every generated part made anew.

    Raises
    ------
    SystemExit : a method without a place on the page, or a place without a method.
    """
    known = {info.name: info for info in list_methods()}
    places = _PART.findall(page)
    missing, strange = set(known) - set(places), set(places) - set(known)
    if missing or strange:
        raise SystemExit(f"docs/methods.md lacks {sorted(missing)}; it names {sorted(strange)}, which there are not.")
    return _PART.sub(lambda m: f"<!-- method: {m[1]} -->\n{table(known[m[1]])}\n<!-- end -->", page)


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    new = filled(page)
    if "--check" in sys.argv[1:]:
        return int(new != page)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
