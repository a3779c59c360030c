"""The suite itself: the same examples on every machine, and every numerical test under every processor's kernels."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numerical
from hypothesis import settings

TESTS = Path(__file__).parents[1]


def test_examples_are_the_same_everywhere() -> None:
    fixed = settings.get_profile("fixed")
    assert fixed.derandomize and fixed.database is None and fixed.deadline is None
    assert not settings.get_profile("search").derandomize


def test_a_new_file_that_computes_is_numerical() -> None:
    for source in ("import torch\n", "from tiny_clip import PROMPTS\n", "import family_checks as check\n"):
        assert numerical.COMPUTES.search(source), source
    assert not numerical.COMPUTES.search("import numpy as np\n# torches\n")


def test_every_test_that_is_left_out_exists() -> None:
    for name in numerical.ONCE:
        file, *parts = name.split("::")
        source = next(TESTS.rglob(file)).read_text(encoding="utf-8")
        assert all(re.search(rf"(def|class) {part}", source) for part in parts), name


def test_other_kernels_round_otherwise_and_by_the_shape() -> None:
    code = (
        "import torch, other_kernels; g = torch.Generator().manual_seed(0)\n"
        "a, b, c = (torch.randn(n, 96, generator=g) for n in (8, 5, 5))\n"
        "exact = (a.numpy().astype('f8') @ b.numpy().astype('f8').T)\n"
        "bound = 96 * torch.finfo(torch.float32).eps * (a.abs().numpy() @ b.abs().numpy().T)\n"
        "for found in (a @ b.T, torch.bmm(a[None], b.T[None])[0], torch.addmm(c[:, 0] * 0, a, b.T)):\n"
        "    assert (abs(found.numpy() - exact) <= bound).all()\n"
        "assert not torch.equal((a @ b.T)[:3], a[:3] @ b.T) and torch.equal(a @ b.T, a @ b.T)\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS / "helpers"), os.environ.get("PYTHONPATH", "")]),
    }
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=120)
