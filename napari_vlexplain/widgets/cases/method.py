"""How the cases are explained: model, method and parameters, chosen once and kept from case to case."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal

from ...choices.explain import Explaining
from ..parts.lists import offer_methods
from ..parts.model_box import follow_settings
from .view import CasesView


class MethodChoice(QObject):
    """Keeps ``asked`` in step with the fields.

    ``changed`` tells that answers would be others now, ``refused`` carries a sentence on what cannot be chosen.
    """

    changed = Signal()
    refused = Signal(str)

    def __init__(self, view: CasesView) -> None:
        super().__init__(view)
        self.asked = Explaining()
        self._view = view
        view.model.chosen.connect(self._on_model)
        view.model.download.connect(self._on_download)
        view.method.currentIndexChanged.connect(self._on_method)
        view.form.follow(self.asked)
        view.form.refused.connect(self.refused)
        view.form.changed.connect(lambda name: self.changed.emit())
        self._on_method()

    def take_settings(self) -> None:
        """Device, precision and offline, as napari's Preferences say now."""
        follow_settings(self.asked, self._view.model)

    def _on_model(self, name: str) -> None:
        offered = self.asked.methods
        self.asked.model, self.asked.download = name, False
        if self.asked.methods != offered:
            offer_methods(self._view.method, self.asked.methods, self.asked.method)
            self._on_method()
        else:
            self._tell()

    def _on_download(self, allowed: bool) -> None:
        self.asked.download = allowed
        self.changed.emit()

    def _on_method(self) -> None:
        self.asked.method = self._view.method.currentData()
        self._view.form.offer(self.asked.method_info.parameters)
        self._tell()

    def _tell(self) -> None:
        self._view.form.show_values()
        self.changed.emit()
