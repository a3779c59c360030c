"""From a class's name to a prompt."""

from __future__ import annotations


def photo_of(name: str) -> str:
    """``a photo of a dog``, ``a photo of an owl``; names in the plural are left to be ungrammatical, as everywhere."""
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return f"a photo of {article} {name}"
