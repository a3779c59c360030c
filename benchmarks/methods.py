"""Seconds, image passes and peak memory of every method on ViT-B/32 shapes, beside captum and pytorch-grad-cam.

    python benchmarks/methods.py [--methods rise,occlusion] [--masks 128] [--steps 4] [--batch 32] [--markdown [FILE]]

Weights are random: speed does not depend on what a model knows. Both sides do the same amount of work in chunks of the
same size and take turns. A peer explains one prompt a run, so its time for K prompts is K times that of one. Install
them with ``pip install 'napari-vlexplain[peers]'``. With ``--json`` a run that was stopped goes on where it was. Exit
code 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import random_clip
import torch
from measured import peak_of, seconds_in_turn
from peers import Amounts, captums, grad_cams, published_rise
from speed import PROMPTS

from napari_vlexplain import explain, list_methods, load_model
from napari_vlexplain.models.dual_encoder import DualEncoder

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "method-speed.md"
DEFAULTS = {"rise": 2048, "kernel_shap": 2048, "lime": 1000, "exact_shapley": 512, "occlusion": 49, "score_cam": 768}
"""Image passes of the black-box methods as they are set by default."""

SLACK, TIMES, MANY_TO_ONE, FLAT = 1.05, 10, 1.3, 1.1
FAST = ("rise", "occlusion", "kernel_shap")
MASKS = (1000, 4000, 16000)


@dataclass(frozen=True)
class Row:
    """A method: image passes, seconds for one and for many prompts, the peer's for one, peaks of memory in MiB."""

    name: str
    passes: int
    one: float
    many: float
    peak: float
    prompts: int
    peer: str = ""
    theirs: float = float("nan")
    their_peak: float = float("nan")

    @property
    def times(self) -> float:
        """How many times the peer's seconds are ours, for many prompts."""
        return self.theirs * self.prompts / self.many

    @property
    def many_to_one(self) -> float:
        """Many prompts' seconds over one's, with the default number of masks: the words cost the same for any."""
        more = self.one / self.passes * (DEFAULTS.get(self.name, self.passes) - self.passes)
        return (self.many + more) / (self.one + more)

    @property
    def broken(self) -> list[str]:
        """Promises that were not kept."""
        found = []
        if self.one > SLACK * self.theirs:
            found.append(f"{self.name}: one prompt takes {self.one:.2f} s, by {self.peer} {self.theirs:.2f} s")
        if self.name in FAST and self.times < TIMES:
            found.append(f"{self.name}: {self.prompts} prompts are only {self.times:.1f} times as fast")
        if self.name in DEFAULTS and self.many_to_one >= MANY_TO_ONE:
            found.append(f"{self.name}: {self.prompts} prompts take {self.many_to_one:.2f} times one prompt's seconds")
        return found

    def line(self) -> str:
        one, many = f"{self.one:.2f}", f"{self.many:.2f}"
        beside = ["", "", "", "", ""]
        if self.peer:
            scaled = self.theirs * self.prompts
            beside = [self.peer, f"{self.theirs:.2f}", f"{scaled:.1f}", f"{self.times:.1f}", f"{self.their_peak:.0f}"]
        ratio = f"{self.many_to_one:.2f}" if self.name in DEFAULTS else ""
        cells = [f"`{self.name}`", self.passes, beside[0], one, beside[1], many, beside[2], beside[3], ratio]
        return "| " + " | ".join(str(cell) for cell in [*cells, f"{self.peak:.0f}", beside[4]]) + " |"


def settings(info: Any, amounts: Amounts, channels: int) -> dict[str, Any]:
    """Both sides' amounts as parameters of a method."""
    fixed = {"rise": {"masks": amounts.masks}, "exact_shapley": {"cells": 2}, "score_cam": {"channels": channels}}
    chosen: dict[str, Any] = fixed.get(info.name, {})
    for parameter in info.parameters:
        if parameter.name == "samples" and info.name in ("kernel_shap", "lime"):
            chosen["samples"] = amounts.masks
        elif parameter.name in ("steps", "samples") and info.name != "m2ib":
            chosen[parameter.name] = amounts.steps
        elif parameter.name == "chunk":
            chosen["chunk"] = amounts.batch
    return chosen


def counted(model: DualEncoder) -> tuple[DualEncoder, list[int]]:
    """The model, and the numbers of images that its tower embeds."""
    seen: list[int] = []
    embed = model.image.embed

    def count(pixels: torch.Tensor) -> torch.Tensor:
        seen.append(len(pixels))
        return embed(pixels)

    return replace(model, image=replace(model.image, embed=count)), seen


def peaks(folder: Path, image: Any) -> dict[str, list[float]]:
    """MiB at the peak for more and more masks, on a tower so thin that kept masks would outweigh everything."""
    model = load_model(str(random_clip.save(folder, 32, width=64, depth=1, heads=1)), device="cpu")
    found: dict[str, list[float]] = {}
    for name, parameter in (("rise", "masks"), ("kernel_shap", "samples"), ("lime", "samples")):
        work = [partial(explain, image, "a cat", model, name, **{parameter: count, "chunk": 32}) for count in MASKS]
        work[0]()
        found[name] = [peak_of(one, "cpu") for one in work]
        print(name, [f"{peak:.0f} MiB" for peak in found[name]], flush=True)
    return found


def document(rows: list[Row], memory: dict[str, list[float]], amounts: Amounts, channels: int, passing: str) -> str:
    """The page docs/method-speed.md."""
    slower = [f"{row.name} by {row.one / row.theirs - 1:.0%}" for row in rows if row.one > row.theirs]
    broken = [line for row in rows for line in row.broken]
    many = rows[0].prompts
    head = ["method", "image passes", "peer", "1 prompt, s", "peer, s", f"{many} prompts, s", "peer, s", "times"]
    head += [f"{many} : 1", "MiB", "peer, MiB"]
    lines = [
        "# How long methods take",
        "",
        "ViT-B/32 shapes with random weights, 224 x 224 pixels, prompts of 4 to 7 words, float32. Written by",
        "`python benchmarks/methods.py --markdown`.",
        "",
        f"- {passing}",
        f"- Both sides do the same: {amounts.masks} masks, {amounts.steps} points on a path or noisy copies,",
        f"  {channels} channels of Score-CAM, 16 coalitions of exact Shapley, chunks of {amounts.batch}. They take",
        "  turns, and the medians are shown.",
        "- Ours is the whole of `explain`: preprocessing, the image's map and the words' scores. captum makes the same",
        "  two on our own tower. pytorch-grad-cam makes the image's alone, on the model of transformers, as its page",
        "  tells. RISE, which neither has, is written in the published way. *Image passes* counts ours for one prompt.",
        f"- A peer explains one prompt a run: its seconds for {many} prompts are {many} times those of one (scaled,",
        f"  not run). *Times*: how many times as fast ours is with {many} prompts.",
        f"- *{many} : 1*: seconds for {many} prompts over those for one, of the black-box methods with their default",
        "  number of masks: measured with the numbers above, the missing passes added at their measured price.",
        "- MiB: peak of memory beyond what was held before.",
        "",
        "| " + " | ".join(head) + " |",
        "|---|--:|---|" + "--:|" * 8,
        *(row.line() for row in rows),
        "",
        f"Slower than the peer for one prompt: {', '.join(slower) or 'none'}.",
    ]
    if broken:
        lines += ["", "Promises that were not kept in this run:", "", *(f"- {line}" for line in broken)]
    if memory:
        lines += [
            "",
            "## Memory",
            "",
            "Peak in MiB for more and more masks, chunks of 32, on a tower of one thin block, where masks that were",
            "kept would show: 16,000 of 224 x 224 pixels are 3,062 MiB.",
            "",
            "| method | " + " | ".join(f"{count:,} masks" for count in MASKS) + " |",
            "|---|" + "--:|" * len(MASKS),
            *(f"| `{name}` | " + " | ".join(f"{peak:.0f}" for peak in found) + " |" for name, found in memory.items()),
        ]
    return "\n".join(lines) + "\n"


def measure(
    info: Any, image: Any, model: DualEncoder, chosen: dict[str, Any], peer: tuple[str, Any] | None, given: Any
) -> Row:
    """One method beside its peer, if it has one. The first run of each side tells its peak."""
    prompts, (watched, seen) = PROMPTS[: given.prompts], counted(model)
    turns, peaked = itertools.cycle(prompts), {}

    def ours(asked: Any) -> None:
        explain(image, asked, watched, info.name, **chosen)

    sides: list[Callable[[], Any]] = [lambda: ours(prompts[0]), lambda: ours(prompts)]
    if peer:
        sides.append(lambda: peer[1](next(turns)))
    passes = 0
    if info.name not in DEFAULTS:  # a first run is slower, which the long ones hardly feel
        for side in sides[::2]:
            side()
        seen.clear()

    def peaking(number: int) -> None:
        nonlocal passes
        peaked[number] = peak_of(sides[number], given.device)
        passes = passes or sum(seen)

    clock = time.process_time if given.device == "cpu" else time.perf_counter
    timed = [partial(peaking, number) for number in range(len(sides))]
    found = seconds_in_turn(timed, given.device, given.runs, given.patience, clock)
    row = Row(info.name, passes, found[0][0], found[1][0], peaked[0], given.prompts)
    return row if not peer else replace(row, peer=peer[0], theirs=found[2][0], their_peak=peaked[2])


def machine(device: str, model: DualEncoder, clip: Any, batch: int) -> str:
    """On what it was measured, and whose tower is the faster."""
    x = torch.randn(batch, *model.pixels(np.zeros((8, 8, 3), np.uint8))[0].shape[1:], device=device)
    clock = time.process_time if device == "cpu" else time.perf_counter
    with torch.no_grad():
        sides = [lambda: model.encode_image(x), lambda: clip.get_image_features(pixel_values=x)]
        (ours, *_), (theirs, *_) = seconds_in_turn(sides, device, 3, clock=clock)
    names = ("torch", "transformers", "captum", "grad-cam")
    where = torch.cuda.get_device_name() if device != "cpu" else f"{platform.processor() or platform.machine()} CPU"
    threads = torch.get_num_threads()
    what = f"CPU seconds of {threads} thread{'s' if threads > 1 else ''}" if device == "cpu" else "seconds"
    return (
        f"{what[0].upper() + what[1:]} on {where} ({os.cpu_count()} cores, shared with other work), "
        f"{', '.join(f'{name} {version(name)}' for name in names)}. {batch} images take our tower {ours:.2f} s and "
        f"transformers' {theirs:.2f} s."
    )


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--masks", type=int, default=128)
    asked.add_argument("--steps", type=int, default=4, help="points on a path, noisy copies")
    asked.add_argument("--channels", type=int, default=128, help="of Score-CAM")
    asked.add_argument("--batch", type=int, default=32)
    asked.add_argument("--prompts", type=int, default=32)
    asked.add_argument("--methods", default="", help="all by default")
    asked.add_argument("--device", default="cpu")
    asked.add_argument("--threads", type=int, default=1)
    asked.add_argument("--runs", type=int, default=3)
    asked.add_argument("--patience", type=float, default=20.0, help="wall seconds after which no further run begins")
    asked.add_argument("--no-memory", action="store_true", help="leave the table of masks and memory out")
    asked.add_argument("--json", type=Path, help="keep rows here; those that are there already are not measured again")
    asked.add_argument("--markdown", type=Path, nargs="?", const=DOCUMENT, help=f"write {DOCUMENT.name}")
    given = asked.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(given.threads)
    amounts = Amounts(given.masks, given.steps, given.batch)
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    wanted = [name for name in given.methods.split(",") if name]
    with tempfile.TemporaryDirectory() as place:
        folder = random_clip.save(Path(place) / "b32", 32)
        model = load_model(str(folder), device=given.device)
        model.weights_hash()  # read once, when it is first asked for
        pixels, _ = model.pixels(image)
        peers: dict[str, tuple[str, Any]] = {"rise": ("published way", published_rise(model, pixels, amounts))}
        peers |= {name: ("captum", run) for name, run in captums(model, pixels, amounts).items()}
        everything = grad_cams(folder, model, pixels, amounts, 768)
        everything["score_cam"] = grad_cams(folder, model, pixels, amounts, given.channels)["score_cam"]
        peers |= {name: ("pytorch-grad-cam", run) for name, run in everything.items()}
        from transformers import CLIPModel

        passing = machine(given.device, model, CLIPModel.from_pretrained(folder).eval().to(given.device), given.batch)
        print(passing, flush=True)
        rows = [Row(**row) for row in json.loads(given.json.read_text())] if given.json and given.json.exists() else []
        for info in list_methods():
            unfit = (wanted and info.name not in wanted) or not info.requires <= model.capabilities
            if unfit or info.name in {row.name for row in rows}:
                continue
            chosen = settings(info, amounts, given.channels)
            rows.append(measure(info, image, model, chosen, peers.get(info.name), given))
            print(rows[-1].line(), flush=True)
            if given.json:
                given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")
        memory = {} if given.no_memory else peaks(Path(place) / "thin", image)
    order = [info.name for info in list_methods()]
    rows.sort(key=lambda row: order.index(row.name))
    if given.markdown:
        given.markdown.write_text(document(rows, memory, amounts, given.channels, passing), encoding="utf-8")
    broken = [line for row in rows for line in row.broken]
    broken += [f"{name}: the peak grows from {min(m):.0f} to {max(m):.0f} MiB" for name, m in memory.items()
               if max(m) > FLAT * m[0]]  # fmt: skip
    for line in broken:
        print(line, file=sys.stderr)
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
