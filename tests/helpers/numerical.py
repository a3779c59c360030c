"""Which tests get numbers from torch's kernels, and so run with those of other processors too."""

from __future__ import annotations

import re
from pathlib import Path

COMPUTES = re.compile(
    r"\b(torch|toys|toy_probes|hooked_libraries|tiny_\w+|linear_clip|question_models|family_checks|load_model|captum)\b"
)
"""What the source of a file says whose numbers come from torch's kernels."""

ONCE = (
    "test_cli.py", "test_latent_cli.py", "test_roar_command.py",  # processes and what they print
    "test_loading.py", "test_model_downloads.py", "test_samples.py",  # files
    "test_worlds.py", "test_latent_experiments.py::TestMini",  # shares of many pictures; no rounding decides them
    "test_latent_experiments.py::test_the_command",
    "test_latent_edit.py::test_mini_forgets_the_label_and_sees_the_object",
    "test_latent_vocabulary.py::TestFiles",
    "test_perturbation_protocol.py::test_the_command",
    "test_answering.py::test_mini_vqa_answers",
)  # fmt: skip
"""Beginnings of the names of tests that compute, but long, and compare no numbers that kernels could move."""


def computes(path: Path) -> bool:
    return bool(COMPUTES.search(path.read_text(encoding="utf-8")))
