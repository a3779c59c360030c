"""The user's choices on the plugin's page of napari's Preferences."""

from __future__ import annotations

from dataclasses import dataclass, fields

PLUGIN = "napari-vlexplain"


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
    from npe2 import PluginManager

    if PLUGIN not in PluginManager.instance():
        return Settings()  # asking napari would have it search all packages again, every time
    try:
        from napari.settings import get_plugin_settings

        page = get_plugin_settings(PLUGIN).explain
        return Settings(**{field.name: getattr(page, field.name) for field in fields(Settings)})
    except (ImportError, KeyError, AttributeError):
        return Settings()
