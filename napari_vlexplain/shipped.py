"""What is shipped beside the code: resources and manifest, at the top of a checkout, installed where pip puts them."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _first(*places: Path) -> Path:
    return next((place for place in places if place.exists()), places[-1])


RESOURCES = _first(_PACKAGE / "resources", _PACKAGE.parent / "resources")
"""The folder of the embedded models, pictures and vocabularies."""

# npe2 looks for a manifest only inside the package that the entry point names, and a checkout has it at its top: so the
# build puts it into a folder of its own, for wheels and editable installations alike.
MANIFEST = _first(_PACKAGE.parent / "napari_vlexplain_manifest" / "napari.yaml", _PACKAGE.parent / "napari.yaml")
"""The file that tells napari of docks, readers, samples and settings."""
