"""What to export, and where to: a dialog that fills the export's options, and the job that does it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...reading_room.export import Options, export_study, notes_of
from ...reading_room.navigation import shown
from ...reading_room.session import ReadingSession
from ..jobs.jobs import Jobs
from ..parts.runner import DockJob

Scope = Literal["study", "shown", "case"]
SCOPES: dict[Scope, str] = {"study": "the whole study", "shown": "the cases of the list", "case": "this case"}
CONTENTS: dict[str, tuple[str, str]] = {
    "csv": ("Table (CSV)", "One row a phrase: figures, verdict, model, method, versions"),
    "json": ("Table (JSON)", "The same with everything, figures of every part included"),
    "masks_png": ("Masks (PNG)", "Ground truth, the model's and the reader's, in one picture with a legend"),
    "nifti": ("Masks (NIfTI)", "One file a mask, in millimetres where they are known"),
    "dicom_seg": ("DICOM segmentation", "Where the image came from a DICOM file"),
    "dicom_sr": ("DICOM structured report", "Figures and judgement, where the image came from a DICOM file"),
    "figure": ("Figures (PNG)", "Image, heatmap, contours, words and figures, for people"),
    "bundle": ("Explanations", "Scores, words and provenance; napari opens them"),
}
PRIVACY: dict[str, tuple[str, str]] = {
    "anonymise": (
        "Number all cases in place of naming them",
        "Also those that a table names; paths are numbered anyway",
    ),
    "deidentify": ("Pseudonyms in DICOM objects", "Off only for objects that go back into the archive"),
    "pixels": ("Include the images", "They may show the patient's name, burnt into the pixels"),
    "paths": ("Include where the images lie", "Ids made of paths are kept too; folders are often named after patients"),
    "key": ("Key file beside the export", "Which case each number stands for; it is not part of the export"),
}
DEMONSTRATION: dict[str, tuple[str, str]] = {
    "demonstration": (
        "DICOM objects of a demonstration model, on files that are not ours",
        "It was trained on drawings; in an archive its mask looks like any other.",
    ),
}


class ExportDialog(QDialog):
    """Ask for an :attr:`options`, a :attr:`scope` and a :attr:`place`; OK needs all three."""

    def __init__(self, parent: QWidget | None, explained: int, total: int, folder: Path) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export")
        self.scope_combo, self.place_edit = QComboBox(), QLineEdit(str(folder / "export.zip"))
        self.boxes: dict[str, QCheckBox] = {}
        self.zip = QCheckBox("as one zip file")
        self.buttons = QDialogButtonBox()
        for scope, text in SCOPES.items():
            self.scope_combo.addItem(text, scope)
        self.zip.setChecked(True)
        self.zip.toggled.connect(self._on_zip)
        self.place_edit.textChanged.connect(self._check)
        browse = QPushButton("…")
        browse.setToolTip("Choose where to")
        browse.clicked.connect(self._browse)
        place = QHBoxLayout()
        place.addWidget(self.place_edit, 1)
        place.addWidget(browse)
        form = QFormLayout()
        form.addRow("Export", self.scope_combo)
        form.addRow("To", place)
        form.addRow("", self.zip)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self._group("Contents", CONTENTS))
        layout.addWidget(self._group("Privacy", PRIVACY))
        layout.addWidget(self._group("Demonstration models", DEMONSTRATION, told=True))
        if explained < total:
            note = QLabel(f"{explained} of {total} are explained: “Explain all” first, to export figures for all.")
            note.setWordWrap(True)
            layout.addWidget(note)
        kinds = QDialogButtonBox.StandardButton
        self.buttons.addButton(kinds.Cancel)
        ok = self.buttons.addButton(kinds.Ok)
        assert ok is not None
        self.ok = ok
        self.ok.setText("Export")
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout.addWidget(self.buttons)
        self._check()

    @property
    def options(self) -> Options:
        """What was ticked."""
        return Options(**{name: box.isChecked() for name, box in self.boxes.items()}, zip=self.zip.isChecked())

    @property
    def scope(self) -> Scope:
        """Which cases."""
        return self.scope_combo.currentData()

    @property
    def place(self) -> Path:
        """The folder or zip file."""
        return Path(self.place_edit.text().strip()).expanduser()

    def _group(self, title: str, choices: dict[str, tuple[str, str]], told: bool = False) -> QGroupBox:
        """Boxes to tick; ``told`` writes their tips below them too."""
        group, layout, standard = QGroupBox(title), QVBoxLayout(), Options()
        for name, (text, tip) in choices.items():
            box = QCheckBox(text)
            box.setToolTip(tip)
            box.setChecked(getattr(standard, name))
            box.toggled.connect(self._check)
            layout.addWidget(box)
            self.boxes[name] = box
            if told:
                why = QLabel(tip)
                why.setWordWrap(True)
                layout.addWidget(why)
        group.setLayout(layout)
        return group

    def _on_zip(self, zipped: bool) -> None:
        place = self.place
        if zipped and place.suffix.lower() != ".zip":
            self.place_edit.setText(f"{place}.zip")
        elif not zipped and place.suffix.lower() == ".zip":
            self.place_edit.setText(str(place.with_suffix("")))

    def _browse(self) -> None:
        if self.zip.isChecked():
            chosen, _ = QFileDialog.getSaveFileName(self, "Export to", str(self.place), "Zip (*.zip)")
        else:
            chosen = QFileDialog.getExistingDirectory(self, "An empty folder, or an earlier export")
        if chosen:
            self.place_edit.setText(chosen)

    def _check(self) -> None:
        self.ok.setEnabled(
            bool(self.place_edit.text().strip()) and any(self.boxes[name].isChecked() for name in CONTENTS)
        )


class Exporting(DockJob):
    """``said`` carries what became of it and whether that is bad, ``changed`` tells that a job began or ended."""

    def __init__(self, jobs: Jobs, parent: QWidget) -> None:
        super().__init__(jobs, parent, when_cancelled="The export was cancelled; nothing is left of it.")
        self._widget = parent
        self._folder = Path.home()
        self.progressed.connect(lambda _, what: self.said.emit(f"{what}…", False))

    def export(self, session: ReadingSession, dialog: ExportDialog | None = None) -> None:
        """Ask, unless a dialog that was answered is given, and export."""
        if self.waits():
            return
        if dialog is None:
            rows = [row for row in session.rows if not row.problem]
            with session.preparing.one_look():
                known = sum(session.is_explained(row.key) for row in rows)
            dialog = ExportDialog(self._widget, known, len(rows), self._folder)
            if not dialog.exec_():
                return
        why = session.sight.refusal() if dialog.scope == "case" else ""
        if why:
            self.said.emit(why, True)
            return
        keys = {
            "study": None,
            "shown": {row.key for row in shown(session.rows, session.view)},
            "case": {session.current} if session.current else set(),
        }[dialog.scope]
        place, options, problems = dialog.place, dialog.options, list[str]()
        self._folder = place.parent
        records = session.records(keys, problems)
        self.start(
            f"Exporting {session.study.title}",
            lambda progress, cancelled: export_study(records, place, options, progress, cancelled),
            lambda target: self._on_done(target, problems),
        )

    def _on_done(self, target: Path, problems: list[str]) -> None:
        notes = [*problems, *notes_of(target)]
        more = f" {' '.join(notes[:3])}{' …' if len(notes) > 3 else ''}" if notes else ""
        self.end("done", f"Exported to {target}.{more}", bool(notes))
