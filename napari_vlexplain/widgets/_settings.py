"""The user's choices on the plugin's page of napari's Preferences."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Settings:
    """As declared in napari.yaml; the values here hold where napari has no such page (before 0.9)."""

    device: str = "auto"
    offline: bool = False
    colormap: str = "inferno"
    fade: bool = True
    opacity: float = 0.7


def settings() -> Settings:
    """What they are now."""
    try:
        from napari.settings import get_plugin_settings

        page = get_plugin_settings("napari-vlexplain").explain
        return Settings(**{field.name: getattr(page, field.name) for field in fields(Settings)})
    except (ImportError, KeyError, AttributeError):
        return Settings()
