"""The user's choices on the plugin's pages of napari's Preferences."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

PLUGIN = "napari-vlexplain"
PAGES = ("explain", "reading")


@dataclass(frozen=True)
class Settings:
    """As declared in napari.yaml; the values here hold where napari has no such pages (before 0.9).

    precision : "auto", "float32", "bfloat16" or "float16", of the models.
    cache_mb : megabytes that explanations kept on disk may take; 0 keeps none.
    cache_folder : where they are kept; "" is the user's own cache folder.
    reader : who judges, for journals and exports.
    """

    device: str = "auto"
    precision: str = "auto"
    offline: bool = False
    colormap: str = "inferno"
    fade: bool = True
    opacity: float = 0.7
    reader: str = ""
    cache_mb: int = 2048
    cache_folder: str = ""

    @property
    def torch_device(self) -> str | None:
        """None where the fastest is taken."""
        return None if self.device == "auto" else self.device


def settings() -> Settings:
    """What they are now; asked for each time, so that a change holds at once."""
    from npe2 import PluginManager

    if PLUGIN not in PluginManager.instance():
        return Settings()  # asking napari would have it search all packages again, every time
    try:
        from napari.settings import get_plugin_settings

        plugin = get_plugin_settings(PLUGIN)
        pages = [getattr(plugin, page) for page in PAGES]
        return Settings(**{field.name: _found(pages, field.name) for field in fields(Settings)})
    except (ImportError, KeyError, AttributeError):
        return Settings()


def remember_reader(name: str) -> None:
    """Have the Preferences know who reads, for the next session; where napari has no such page nothing happens."""
    from npe2 import PluginManager

    if name and name != settings().reader and PLUGIN in PluginManager.instance():
        with suppress(ImportError, KeyError, AttributeError, OSError, ValueError):
            from napari.settings import get_plugin_settings

            get_plugin_settings(PLUGIN).reading.reader = name


def watch(callback: Callable[..., object]) -> None:
    """Call a bound method when a choice changes, for as long as its object lives; where napari has no page, never."""
    from npe2 import PluginManager

    if PLUGIN in PluginManager.instance():
        with suppress(ImportError, KeyError, AttributeError):
            from napari.settings import get_plugin_settings

            get_plugin_settings(PLUGIN).events.changed.connect(callback)


def _found(pages: list[Any], name: str) -> Any:
    return getattr(next(page for page in pages if name in type(page).model_fields), name)
