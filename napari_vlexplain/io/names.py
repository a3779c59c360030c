"""File names made from what people write."""

from __future__ import annotations

import re
import unicodedata

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)")


def slug(text: str, longest: int = 60) -> str:
    """A name that any file system takes: lower-case ASCII letters, digits and hyphens; never empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    found = re.sub(r"[^a-z0-9]+", "-", plain.lower())[:longest].strip("-")
    return f"{found}-" if _RESERVED.fullmatch(found) else found or "unnamed"


def unique_slugs(texts: list[str]) -> list[str]:
    """A slug for each text, no two alike."""
    found: list[str] = []
    for text in texts:
        base, number = slug(text), 1
        name = base
        while name in found:
            number += 1
            name = f"{base}-{number}"
        found.append(name)
    return found
