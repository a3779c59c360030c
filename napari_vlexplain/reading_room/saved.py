"""Records with explanations that were saved in a folder before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from dataclasses import replace
from pathlib import Path

from ..errors import VLExplainError
from ..metrics.thresholds import threshold_of
from ..results.explanation import Explanation
from ..results.manifest import EXPLANATION
from ..results.request import ImageIdentity
from ..results.saved import MANIFEST
from .records import CaseRecord
from .threshold import Threshold


class WithSaved:
    """Records, one by one, each with the saved explanation of the same pixels and prompt where there is one."""

    def __init__(self, records: Iterable[CaseRecord], folder: Path, threshold: Threshold) -> None:
        """Look through ``folder`` and all below it; raises VLExplainError where no explanation is saved there."""
        self._records, self._threshold = records, threshold
        self._folders = _by_question(folder)

    def __len__(self) -> int:
        return len(self._records) if isinstance(self._records, Sized) else 0

    def __iter__(self) -> Iterator[CaseRecord]:
        for record in self._records:
            if record.problem:
                yield record
                continue
            found = self._folders.get((ImageIdentity.of(record.image, "", None).sha256, record.prompt))
            yield record if found is None else self._changed(record, Explanation.load(found))

    def _changed(self, record: CaseRecord, explanation: Explanation) -> CaseRecord:
        threshold = threshold_of(explanation.heatmap, self._threshold.mode, self._threshold.value)
        masks = {role: mask for role, mask in record.masks.items() if role != "model"}  # cut anew by whoever asks
        return replace(record, explanation=explanation, threshold=threshold, masks=masks)


def _by_question(folder: Path) -> dict[tuple[str, str], Path]:
    """(image's sha256, prompt) -> the folder of its explanation; of several the last by name."""
    if not folder.is_dir():
        raise VLExplainError(f"There is no folder {str(folder)!r} of saved explanations.")
    found: dict[tuple[str, str], Path] = {}
    for file in sorted(folder.rglob(MANIFEST)):
        try:
            manifest = EXPLANATION.read(file.parent)
            found[str(manifest["request"]["image"]["sha256"]), str(manifest["prompt"])] = file.parent
        except (VLExplainError, KeyError, TypeError):  # another kind of folder, or a damaged one
            continue
    if not found:
        raise VLExplainError(f"{folder} holds no saved explanation; save some with vlexplain explain --out.")
    return found
