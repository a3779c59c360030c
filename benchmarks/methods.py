"""Seconds, image forwards and peak memory of every method on ViT-B/32 shapes, and beside captum with equal batches.

    python benchmarks/methods.py [--masks 2048] [--batch 32] [--prompts 32] [--methods rise,occlusion] [--device cpu]

Weights are random: speed does not depend on what a model knows. captum explains one prompt a run, so its time for K
prompts is K runs, one of which is measured; RISE, which it does not have, is written here in the published way.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import random_clip  # noqa: E402
from measured import peak_of, seconds_in_turn  # noqa: E402

from napari_vlexplain import explain, list_methods, load_model  # noqa: E402

SAMPLES = {"masks", "samples"}


def settings(info: Any, masks: int, batch: int) -> dict[str, Any]:
    """Equal numbers of masks and equal chunks for whoever takes such."""
    chosen: dict[str, Any] = {}
    for parameter in info.parameters:
        if parameter.name == "masks" or (parameter.name == "samples" and parameter.default >= 1000):
            chosen[parameter.name] = masks
        if parameter.name == "chunk":
            chosen[parameter.name] = batch
    return chosen


def counted(model: Any) -> tuple[Any, list[int]]:
    """The model, and a list of the batches that its image tower embeds."""
    seen: list[int] = []
    embed = model.image.embed

    def count(pixels: torch.Tensor) -> torch.Tensor:
        seen.append(len(pixels))
        return embed(pixels)

    return replace(model, image=replace(model.image, embed=count)), seen


def theirs(
    name: str, model: Any, pixels: torch.Tensor, prompt: str, masks: int, batch: int
) -> Callable[[], Any] | None:
    """One prompt's image map by captum, or in the published way; None where there is neither."""
    import captum.attr

    text = model.encode_text(model.tokenize([prompt]))
    tower = model.image

    def score(x: torch.Tensor) -> torch.Tensor:
        return model.similarity(tower.tail(tower.embed(x), 0, model.image_rows(len(x))), text)[:, 0]

    side = tower.patch[0]
    labels = torch.arange(tower.grid[0] * tower.grid[1]).view(tower.grid)
    labels = labels.repeat_interleave(side, 0).repeat_interleave(side, 1)[None, None].to(pixels.device)

    def rise() -> torch.Tensor:
        total = torch.zeros(pixels.shape[-2:], device=pixels.device)
        drawn = torch.nn.functional.interpolate((torch.rand(masks, 1, 7, 7) < 0.5).float(), 256, mode="bilinear")
        for start in range(0, masks, batch):
            m = drawn[start : start + batch, :, : pixels.shape[-2], : pixels.shape[-1]].to(pixels.device)
            with torch.no_grad():
                total += (score(pixels * m)[:, None, None] * m[:, 0]).sum(dim=0)
        return total

    def occlusion() -> Any:
        oracle = captum.attr.Occlusion(score)
        with torch.no_grad():
            return oracle.attribute(pixels, (3, side, side), (3, side, side), perturbations_per_eval=batch)

    return {
        "rise": rise,
        "occlusion": occlusion,
        "kernel_shap": lambda: captum.attr.KernelShap(score).attribute(
            pixels, feature_mask=labels, n_samples=masks, perturbations_per_eval=batch
        ),
        "saliency": lambda: captum.attr.Saliency(score).attribute(pixels.clone().requires_grad_()),
        "integrated_gradients": lambda: captum.attr.IntegratedGradients(score).attribute(
            pixels, n_steps=32, internal_batch_size=batch
        ),
    }.get(name)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--masks", type=int, default=2048)
    asked.add_argument("--batch", type=int, default=32)
    asked.add_argument("--prompts", type=int, default=32)
    asked.add_argument("--methods", default="")
    asked.add_argument("--device", default="cpu")
    asked.add_argument("--runs", type=int, default=3)
    given = asked.parse_args()
    wanted = [name for name in given.methods.split(",") if name]
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    prompts = [f"a photo of a cat number {number}" for number in range(given.prompts)]
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(str(random_clip.save(Path(folder), 32)), device=given.device)
    pixels, _ = model.pixels(image)
    print("| method | forwards | 1 prompt, s | peer, s | "
          f"{given.prompts} prompts, s | peer, s | peak, MiB |\n|---|---|---|---|---|---|---|")  # fmt: skip
    for info in list_methods():
        if (wanted and info.name not in wanted) or not info.requires <= model.capabilities:
            continue
        chosen = settings(info, given.masks, given.batch)
        observed, seen = counted(model)
        explain(image, prompts[0], observed, info.name, **chosen)
        forwards = sum(seen)
        peer = theirs(info.name, model, pixels, prompts[0], given.masks, given.batch)

        def ours(asked_for: Any, name: str = info.name, options: dict[str, Any] = chosen) -> Any:
            return explain(image, asked_for, model, name, **options)

        sides = [lambda: ours(prompts[0]), lambda: ours(prompts), *([peer] if peer else [])]
        found = seconds_in_turn(sides, given.device, given.runs)
        one, many = found[0][0], found[1][0]
        peers = (f"{found[2][0]:.2f}", f"{found[2][0] * given.prompts:.1f}") if peer else ("", "")
        peak = peak_of(lambda: ours(prompts[0]), given.device)
        print(
            f"| {info.name} | {forwards} | {one:.2f} | {peers[0]} | {many:.2f} | {peers[1]} | {peak:.0f} |", flush=True
        )


if __name__ == "__main__":
    main()
