"""The Attention Lattice Adapter against every affordable post-hoc method, and without each of its parts.

    python benchmarks/lattice_adapter.py compare --json compare.json
    python benchmarks/lattice_adapter.py ablation --json ablation.json [--epochs N] [--train N] [--seeds 0 1]
    python benchmarks/lattice_adapter.py document compare.json ablation.json [...]

All on sticker scenes that no training saw, the same for everything. ``document`` writes the tables of
docs/lattice-adapter.md. Maps are min-max scaled and cut at one half, and, beside it, at the threshold that is best on
other scenes, found for each method on its own.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vlexplain import explain, list_methods, load_model
from napari_vlexplain.datasets.worlds import article
from napari_vlexplain.lattice_adapter import Options
from napari_vlexplain.lattice_adapter.scenes import Scene
from napari_vlexplain.lattice_adapter.validation import LADDER, ladder, scaled
from napari_vlexplain.metrics.statistics import Interval, intervals
from napari_vlexplain.models.zoo import MINI_LATTICE
from napari_vlexplain.running.run import Run

PAGE = Path(__file__).resolve().parents[1] / "docs" / "lattice-adapter.md"
SHIPPED = PAGE.parents[1] / "resources" / "models" / MINI_LATTICE.name
FRESH, TUNING = 900_001, 900_002  # seeds of scenes; training uses small ones
SLOW = {"m2ib": 20, "smoothgrad": 20, "integrated_gradients": 20} | dict.fromkeys(
    ("dsmi_grad", "dsmi_grad_attn", "attn_lrp", "transformer_attribution"), 40
)
"""Methods that take longer -> how many scenes they get, the first ones."""
LEFT_OUT = ("rise", "kernel_shap", "exact_shapley", "occlusion", "lime", "score_cam", "expected_gradients")
"""Of these a scene takes from ten seconds to minutes."""
SETS = (("alone", 0, 1.0), ("with two strangers", 2, 0.5))
"""Sets of scenes: title, how many objects of no class, and how many scenes beside the first set's."""
HALF = int(np.argmin(np.abs(LADDER - 0.5)))
VARIANTS: dict[str, dict[str, Any]] = {
    "whole": {},
    "without taps": {"taps": "none"},
    "without LoRA": {"lora_rank": 0},
    "without alternating epochs": {"alternate": False},
}

Curves = NDArray[np.float64]
"""IoU of each scene at each threshold of the ladder: (scenes, 100)."""


def scenes(count: int, seed: int, others: int = 0) -> list[Scene]:
    """Those in which the object can be seen at all."""
    found = (Scene(seed, index, others=others) for index in range(2 * count))
    return [scene for scene in found if scene.draw()[1].any()][:count]


def curves(heatmap: Callable[[Scene, NDArray[np.uint8]], NDArray[np.float32]], some: list[Scene]) -> Curves:
    rows = []
    for scene in some:
        image, mask = scene.draw()
        rows.append(ladder(heatmap(scene, image)[None], mask[None])[0])
    return np.array(rows)


def post_hoc(method: str) -> Callable[[Scene, NDArray[np.uint8]], NDArray[np.float32]]:
    def heatmap(scene: Scene, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        prompt = f"a photo of {article(scene.classes[scene.label])}"
        return explain(image, prompt, "mini", method, device="cpu").pixel_scores

    return heatmap


def adapter(name: str) -> Callable[[Scene, NDArray[np.uint8]], NDArray[np.float32]]:
    def heatmap(scene: Scene, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return explain(image, scene.classes[scene.label], name, "lattice_adapter", device="cpu").pixel_scores

    return heatmap


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Every method's curves on fresh scenes and on those for tuning, with and without strangers."""
    fits = load_model("mini", "cpu").capabilities
    names = [i.name for i in list_methods() if i.requires <= fits and i.name not in LEFT_OUT]
    wanted = options.methods or [*names, MINI_LATTICE.name]
    found: dict[str, Any] = json.loads(options.json.read_text()) if options.json.exists() else {}
    for title, others, share in SETS:
        fresh, tuning = (
            scenes(round(count * share), seed, others)
            for count, seed in ((options.count, FRESH), (options.tuning, TUNING))
        )
        held = found.setdefault(title, {"methods": {}})
        held["floor"] = [float(scene.draw()[1].mean()) for scene in fresh]
        for name in wanted:
            if name in held["methods"] and not options.again:
                continue
            heatmap = adapter(name) if name == MINI_LATTICE.name else post_hoc(name)
            some = (fresh[: SLOW.get(name, len(fresh))], tuning[: SLOW.get(name, 2 * len(tuning)) // 2])
            both = (np.round(curves(heatmap, part), 5).tolist() for part in some)
            held["methods"][name] = dict(zip(("fresh", "tuning"), both, strict=True))
            (half, best), cut = figures(held["methods"][name])
            print(f"{title:12} {name:24} {half.mean:.3f}  {best.mean:.3f} at {cut:.2f}", flush=True)
            options.json.write_text(json.dumps(found))
    return found


def figures(curves: dict[str, Any]) -> tuple[list[Interval], float]:
    """IoU at one half and at the best threshold, and that threshold."""
    fresh, best = np.asarray(curves["fresh"]), _best(curves)
    return intervals(fresh[:, [HALF, best]], np.arange(len(fresh))), float(LADDER[best])


def _best(curves: dict[str, Any]) -> int:
    """Which step of the ladder is best on the scenes for tuning."""
    return int(np.argmax(np.mean(curves["tuning"], axis=0)))


def ablation(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Each variant trained for the same budget and several seeds, measured on the same fresh scenes."""
    import torch

    from napari_vlexplain.lattice_adapter.data import Item
    from napari_vlexplain.lattice_adapter.evaluate import evaluate
    from napari_vlexplain.lattice_adapter.opening import open_training
    from napari_vlexplain.lattice_adapter.training import sources_of, train
    from napari_vlexplain.models.lattice_adapter.network import LatticeNetwork

    torch.set_num_threads(1)
    model = load_model("mini", "cpu")
    shipped = json.loads((options.config / "config.json").read_text())
    # By the loss, which sees labels alone: no mask has a say in which epoch a variant is judged by.
    changed = {"epochs": options.epochs, "patience": 0, "monitor": "loss"}
    base = Options.from_dict({**shipped["options"], **changed})
    data = open_training("stickers", scenes=(options.train, 60, 0))
    widest = LatticeNetwork(model.image, model.preprocess.size, len(data.classes), base)
    shared = sources_of(model, data, base, 0, widest, Run())
    items = [Item(f"{s.seed}-{s.index}", s, s.label) for s in scenes(options.count, FRESH)]
    found: list[dict[str, Any]] = json.loads(options.json.read_text()) if options.json.exists() else []
    done = {(row["variant"], row["seed"]) for row in found}
    for seed in options.seeds:
        for variant, changes in VARIANTS.items():
            if (variant, seed) in done:
                continue
            asked = replace(base, seed=seed, **changes)
            with tempfile.TemporaryDirectory() as folder:
                at = Path(folder) / "run"
                some = tuple(replace(source, options=asked) for source in shared)
                ended = train(model, data, asked, at, sources=some)  # type: ignore[arg-type]
                loaded = load_model(str(at), "cpu")
                row: dict[str, Any] = {"variant": variant, "seed": seed, "epochs": len(ended.rows)}
                row |= {"best_epoch": ended.best_epoch, "train": options.train}
                for rule in ("minmax", "best"):
                    curves = options.curves if rule == "minmax" else 0
                    measured = evaluate(loaded, items, rule=rule, tune=data.val, curves=curves, steps=options.steps)
                    row[rule] = measured.to_dict()
            found.append(row)
            print(variant, seed, {k: round(v["mean"], 3) for k, v in row["minmax"]["figures"].items()}, flush=True)
            options.json.write_text(json.dumps(found, indent=1))
    return found


def compared(found: dict[str, Any]) -> Iterator[str]:
    """A table for each set: all methods, the best on top, and the difference to the adapter on the same scenes."""
    for title, held in found.items():
        yield f"**{title}**"
        yield ""
        yield "| method | scenes | IoU, > .5 | best threshold | IoU there | adapter minus it: > .5 | there |"
        yield "|---|--:|---|--:|---|---|---|"
        own, at = held["methods"][MINI_LATTICE.name], _best(held["methods"][MINI_LATTICE.name])
        rows = []
        for name, given in held["methods"].items():
            (half, best), cut = figures(given)
            fresh = np.asarray(given["fresh"])
            mine = np.asarray(own["fresh"])[: len(fresh)]
            apart = mine[:, [HALF, at]] - fresh[:, [HALF, _best(given)]]
            gaps = ("", "") if name == MINI_LATTICE.name else map(written, intervals(apart, np.arange(len(apart))))
            label = f"**`{name}`**" if name == MINI_LATTICE.name else f"`{name}`"
            cells = (label, str(len(fresh)), written(half), f"{cut:.2f}", written(best), *gaps)
            rows.append((best.mean, f"| {' | '.join(cells)} |"))
        (floor,) = intervals(np.asarray(held["floor"])[:, None], np.arange(len(held["floor"])))
        rows.append((floor.mean, f"| floor: all ones | {floor.n} | {written(floor)} | | | | |"))
        yield from (line for _, line in sorted(rows, key=lambda row: -row[0]))
        yield ""


def ablated(found: list[dict[str, Any]]) -> Iterator[str]:
    yield "| variant | seed | best epoch | right | IoU, > .5 | IoU, best threshold | insertion | deletion | ID |"
    yield "|---|--:|--:|---|---|---|---|---|---|"
    for variant in VARIANTS:
        for row in (row for row in found if row["variant"] == variant):
            half, best = row["minmax"]["figures"], row["best"]["figures"]
            shown = [half["accuracy"], half["iou"], best["iou"], half["insertion"], half["deletion"], half["id"]]
            cells = (written(Interval(each["mean"], each["low"], each["high"], each["n"])) for each in shown)
            yield f"| {variant} | {row['seed']} | {row['best_epoch']} | {' | '.join(cells)} |"


def written(figure: Interval) -> str:
    return f"{figure.mean:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def log() -> Iterator[str]:
    """The shipped adapter's command and its log."""
    lines = (SHIPPED / "log.csv").read_text(encoding="utf-8").splitlines()
    yield "| " + " | ".join(lines[0].split(",")) + " |"
    yield "|" + "--:|" * len(lines[0].split(","))
    for line in lines[1:]:
        cells = (f"{float(c):.3f}" if "." in c else c for c in line.split(","))
        yield "| " + " | ".join(cells) + " |"


def picture(count: int = 10) -> None:
    """Scenes, maps (min-max scaled) and masks, one below the other."""
    from PIL import Image

    columns = []
    for scene in scenes(count, FRESH):
        image, mask = scene.draw()
        levels = scaled(adapter(MINI_LATTICE.name)(scene, image))
        grey = (np.repeat((part * 255).astype(np.uint8)[..., None], 3, axis=2) for part in (levels, mask))
        columns.append(np.concatenate([image, *grey])[::2, ::2])
    Image.fromarray(np.concatenate(columns, axis=1)).save(PAGE.parent / "images" / "lattice-adapter.png", optimize=True)


def plot(found: dict[str, Any]) -> None:
    """Mean IoU over the threshold, a panel for each set; the adapter thick, the rest named by order of their best."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    colours: dict[str, Any] = {MINI_LATTICE.name: "black"}
    for axes, (title, held) in zip(figure.subplots(1, 2, sharey=True), found.items(), strict=True):
        means = {name: np.mean(given["fresh"], axis=0) for name, given in held["methods"].items()}
        best = sorted(means, key=lambda name: -means[name].max())[:8]
        for name in dict.fromkeys([MINI_LATTICE.name, *best]):
            colour = colours.setdefault(name, colormaps["tab20"](len(colours) - 1))
            axes.plot(LADDER, means[name], color=colour, lw=2.5 if colour == "black" else 1.2, label=name)
        axes.axhline(np.mean(held["floor"]), color="grey", ls=":", label="floor: all ones")
        axes.set(title=title, xlabel="threshold of the min-max scaled map", ylim=(0, 0.85))
        axes.legend(fontsize=8, ncol=3, loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False)
    figure.supylabel("mean IoU", fontsize=10)
    figure.savefig(PAGE.parent / "images" / "lattice-adapter-iou.png", dpi=80)


def document(options: argparse.Namespace) -> None:
    """The tables between their marks in the page, and its pictures."""
    measured = json.loads(options.compare.read_text())
    plot(measured)
    parts = {
        "compare": compared(measured),
        "ablation": ablated([row for file in options.ablation for row in json.loads(file.read_text())]),
        "log": log(),
    }
    text = PAGE.read_text(encoding="utf-8")
    for name, lines in parts.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = text.partition(start)
        text = before + start + "\n" + "\n".join(lines) + "\n" + end + rest.partition(end)[2]
    PAGE.write_text(text, encoding="utf-8")
    picture()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("compare")
    one.add_argument("--methods", nargs="+", help="only these")
    one.add_argument("--again", action="store_true", help="compute again what the file has")
    one.add_argument("--tuning", type=int, default=40, help="scenes for the best threshold")
    two = kinds.add_parser("ablation")
    two.add_argument("--config", type=Path, default=SHIPPED, help="whose options are varied")
    two.add_argument("--epochs", type=int, default=6)
    two.add_argument("--train", type=int, default=600, help="scenes to train on")
    two.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    two.add_argument("--curves", type=int, default=8, help="scenes of insertion and deletion")
    two.add_argument("--steps", type=int, default=10)
    for each, count in ((one, 120), (two, 80)):
        each.add_argument("--json", type=Path, required=True, help="written after every row; goes on from there")
        each.add_argument("--count", type=int, default=count, help="fresh scenes")
    three = kinds.add_parser("document")
    three.add_argument("compare", type=Path)
    three.add_argument("ablation", type=Path, nargs="+")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    {"compare": compare, "ablation": ablation, "document": document}[options.kind](options)


if __name__ == "__main__":
    main()
