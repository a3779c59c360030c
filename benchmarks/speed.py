"""Each method beside the way it was published: the same numbers, and how long and how much memory each side takes.

    python benchmarks/speed.py [--quick] [--device cuda] [--json FILE]

CLIP models with random weights in the shapes of ViT-B/32 and ViT-B/16. Ours is the whole of ``explain``, from an
array of bytes to explanations, with prompts not seen before; the published side (published.py) starts from pixels and
token ids that are ready. Both sides get the same threads and take turns. Exit code 1 if numbers differ or a target is
missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import measured
import numpy as np
import published
import random_clip
import torch
from numpy.typing import NDArray

from napari_vlexplain import explain, load_model
from napari_vlexplain.models.dual_encoder import DualEncoder
from napari_vlexplain.results.request import ImageIdentity
from napari_vlexplain.running.run import generator, memory_budget

SHAPES = {"ViT-B/32": 32, "ViT-B/16": 16}
THINGS = ("cat", "dog", "apple", "car", "boat", "tree", "house", "bird", "horse", "key", "drum", "kite", "lamp", "moon",
          "pear", "ring")  # fmt: skip
SCENES = ("a photo of a {}", "two of a {}", "a {} on the left", "a {} at the top", "a small {}", "one large {}",
          "no {}", "a {} and a tree")  # fmt: skip
PROMPTS = [scene.format(word) for scene in SCENES for word in THINGS]
COPIES, STEPS, LAYER = 10, 10, 9
PROMPT_COUNTS = (8, 32, 128)


@dataclass(frozen=True)
class Task:
    """A method with its parameters; ``target`` is the least ratio of published to our seconds on a CPU."""

    label: str
    method: str
    prompts: int
    parameters: dict[str, Any] = field(default_factory=dict)
    target: float | None = None
    tolerance: float = 1e-4

    def with_steps(self, steps: int) -> Task:
        return Task(**{**asdict(self), "parameters": {**self.parameters, "steps": steps}}) if self.is_m2ib else self

    @property
    def is_m2ib(self) -> bool:
        return self.method == "m2ib"


def all_blocks(prompts: int, target: float | None = None) -> Task:
    return Task("relevance, all blocks", "relevance", prompts, {"start_block": 0, "text_start_block": 0}, target)


def information_bottleneck(steps: int, target: float | None = None, prompts: int = 1) -> Task:
    # The published logarithm; and Adam's first steps are signs, which enlarge rounding where a gradient is about zero.
    return Task("m2ib", "m2ib", prompts, {"steps": steps, "kl_form": "reference"}, target, tolerance=1e-2)


def tasks(quick: bool) -> list[Task]:
    return [
        all_blocks(1),
        all_blocks(8, target=2.0),
        Task("relevance, last block", "relevance", 8),
        Task("raw attention", "raw_attention", 8),
        Task("rollout", "rollout", 8),
        Task("attention Grad-CAM", "attention_grad_cam", 8),
        information_bottleneck(3 if quick else STEPS, target=4.0),
    ]


Result = tuple[NDArray[Any], list[NDArray[Any]]]
"""Scores of the patches (K, patches), and of each prompt's own tokens."""


def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)


def our_side(model: DualEncoder, task: Task) -> Callable[[], Result]:
    def work() -> Result:
        model._texts.clear()  # no prompt is known from an earlier run
        target = "similarity" if task.is_m2ib else "logit"  # what each publication explains
        found = explain(picture(), PROMPTS[: task.prompts], model, task.method, target, **task.parameters)
        return np.stack([e.patch_scores.ravel() for e in found]), [e.token_scores for e in found]

    return work


def published_side(model: DualEncoder, whole: Any, task: Task) -> Callable[[], Result]:
    """``model`` only makes pixels, token ids and, for M2IB, the noise."""
    device = str(model.device)
    texts = model.tokenize(PROMPTS[: task.prompts])
    ids = [torch.tensor(p.ids, device=device) for p in texts.prompts]
    question = published.Question(model.pixels(picture())[0], ids, pad=2047)

    def rows() -> published.Rows:
        if task.method == "relevance":
            start, text_start = (task.parameters.get(name, -1) for name in ("start_block", "text_start_block"))
            return published.relevance(whole, question, start, text_start)
        if task.is_m2ib:
            noises = list(noise_of(model, question, texts.prompts))
            return published.m2ib(whole, question, (LAYER, LAYER), noises, task.parameters["steps"], copies=COPIES)
        return getattr(published, task.method)(whole, question)

    def work() -> Result:
        whole.zero_grad()
        whole.set_attn_implementation("sdpa" if task.is_m2ib else "eager")  # what shows attention needs the latter
        patches, tokens = (x.cpu().numpy() for x in rows())
        return patches, [row[list(p.content)] for row, p in zip(tokens, texts.prompts, strict=True)]

    return work


def noise_of(model: DualEncoder, question: published.Question, prompts: Any) -> Iterator[tuple[Any, Any]]:
    """What our side draws, for each prompt: of the image and of the words."""
    case = ImageIdentity.of(picture(), "", None).sha256
    assert model.image.grid is not None
    patches = model.image.grid[0] * model.image.grid[1] + 1
    widths = [tower.blocks[0].query.weight.shape[1] for tower in (model.image, model.text)]  # type: ignore[attr-defined]

    def drawn(length: int, width: int, *scope: str) -> published.Noise:
        source = generator(0, case, "m2ib", *scope, device=model.device)
        return lambda: torch.randn(COPIES, length, width, generator=source, device=model.device)

    for prompt in prompts:
        yield (
            drawn(patches, widths[0], "image", "0"),
            drawn(len(prompt.ids), widths[1], "text", "0", prompt.text),
        )


def difference(ours: Result, theirs: Result) -> float:
    """Largest difference as a share of the largest score, patches and tokens each by their own."""
    pairs = [(ours[0], theirs[0]), *zip(ours[1], theirs[1], strict=True)]
    # A map may be zero everywhere; then both must be.
    return float(max(np.abs(a - b).max() / max(np.abs(b).max(), 1e-12) for a, b in pairs))


def compare(shape: str, folder: Path, task: Task, device: str, most: int) -> dict[str, Any]:
    """One row of the table."""
    model, whole = load_model(str(folder), device), published.load(folder, device)
    for side in (our_side(model, task.with_steps(1)), published_side(model, whole, task.with_steps(1))):
        side()  # warm up
    (ours, runs, our_result), (theirs, _, their_result) = measured.seconds_in_turn(
        [our_side(model, task), published_side(model, whole, task)], device, most
    )
    off = difference(our_result, their_result)
    peaks = {side: peak_elsewhere(side, folder, task, device) for side in ("ours", "published")}
    ratio = theirs / ours
    missed = task.target is not None and device == "cpu" and ratio < task.target
    return {
        "shape": shape,
        "method": task.label,
        "prompts": task.prompts,
        "ours_s": ours,
        "published_s": theirs,
        "ratio": ratio,
        "target": task.target,
        "runs": runs,
        "steps": task.parameters.get("steps"),
        "ours_mib": peaks["ours"],
        "published_mib": peaks["published"],
        "difference": off,
        "tolerance": task.tolerance,
        "passed": not missed and off <= task.tolerance,
    }


def peak_elsewhere(side: str, folder: Path, task: Task, device: str) -> float:
    """Peak memory, measured in a process that does nothing else. A single step of M2IB peaks like ten."""
    what = json.dumps([side, str(folder), device, asdict(task.with_steps(1))])
    command = [sys.executable, __file__, "--peak", what]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def peak_here(side: str, folder: str, device: str, task: dict[str, Any]) -> float:
    model = load_model(folder, device)
    model.weights_hash()
    chosen = Task(**task)
    small = Task("", "raw_attention", 1)  # weights are read from their file when they are first used
    if side == "ours":
        warm, work = our_side(model, small), our_side(model, chosen)
    else:
        whole = published.load(Path(folder), device)
        warm, work = published_side(model, whole, small), published_side(model, whole, chosen)
    warm()
    return measured.peak_of(work, device)


def growth(folder: Path, device: str, quick: bool) -> list[dict[str, Any]]:
    """Peak memory by the number of prompts: ours must stop growing at a chunk."""
    found = []
    budget = memory_budget(torch.device(device)) / measured.MIB
    for make in (all_blocks, lambda prompts: information_bottleneck(1, prompts=prompts)):
        for prompts in PROMPT_COUNTS[:2] if quick else PROMPT_COUNTS:
            task = make(prompts)
            peak = peak_elsewhere("ours", folder, task, device)
            repeats_image = prompts <= 32 and not task.is_m2ib  # beyond that it would fill this machine
            theirs = peak_elsewhere("published", folder, task, device) if repeats_image else None
            found.append(
                {
                    "method": task.label,
                    "prompts": prompts,
                    "ours_mib": peak,
                    "published_mib": theirs,
                    "chunk_mib": budget,
                    "passed": peak <= 1.25 * budget,
                }
            )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="ViT-B/32 only, one run each, three steps of M2IB")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak_here(*json.loads(options.peak)))
        return 0

    print(surroundings(options.device))
    rows, grown = [], []
    with tempfile.TemporaryDirectory() as home:
        shapes = dict(list(SHAPES.items())[:1]) if options.quick else SHAPES
        folders = {shape: random_clip.save(Path(home, f"b{patch}"), patch) for shape, patch in shapes.items()}
        print("| model | method | prompts | ours | published | ratio | target | ours | published | difference | |")
        print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|")
        for shape, folder in folders.items():
            for task in tasks(options.quick):
                rows.append(compare(shape, folder, task, options.device, 1 if options.quick else 5))
                print(line(rows[-1]), flush=True)
        print("\n| ViT-B/32, peak memory | prompts | ours | published | a chunk may take | |")
        print("|---|--:|--:|--:|--:|---|")
        for row in growth(folders["ViT-B/32"], options.device, options.quick):
            grown.append(row)
            theirs = "" if row["published_mib"] is None else f"{row['published_mib']:.0f} MiB"
            print(
                f"| {row['method']} | {row['prompts']} | {row['ours_mib']:.0f} MiB | {theirs} "
                f"| {row['chunk_mib']:.0f} MiB | {verdict(row)} |"
            )
    if options.json:
        record = {"surroundings": surroundings(options.device), "speed": rows, "memory": grown}
        options.json.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return 0 if all(row["passed"] for row in (*rows, *grown)) else 1


def line(row: dict[str, Any]) -> str:
    steps = f", {row['steps']} steps" if row["steps"] else ""
    cells = (
        row["shape"],
        row["method"] + steps,
        row["prompts"],
        f"{row['ours_s']:.3f} s",
        f"{row['published_s']:.3f} s",
        f"{row['ratio']:.1f}",
        "" if row["target"] is None else f"{row['target']:g}",
        f"{row['ours_mib']:.0f} MiB",
        f"{row['published_mib']:.0f} MiB",
        f"{row['difference']:.0e}",
        verdict(row),
    )
    return f"| {' | '.join(map(str, cells))} |"


def verdict(row: dict[str, Any]) -> str:
    return "" if row["passed"] else "MISSED"


def surroundings(device: str) -> str:
    name = (
        torch.cuda.get_device_name(device) if device.startswith("cuda") else f"CPU, {torch.get_num_threads()} threads"
    )
    load = f", load average {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return f"{name}, torch {torch.__version__}, float32{load}"


if __name__ == "__main__":
    sys.exit(main())
