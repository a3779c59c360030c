"""How often the embedded question model is right: fresh scenes of both worlds, reading questions left out.

    python benchmarks/vqa_accuracy.py [--scenes 500] [--seed 20251]

Prints accuracy by kind of question, and how often the centre of the most relevant box lies on what the question is
about. Exit code 1 below the README's 0.92.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np

from napari_vlexplain.datasets.worlds import phantom, stickers
from napari_vlexplain.datasets.worlds.questions import Question, question
from napari_vlexplain.datasets.worlds.rendered import Rendered

WANTED = 0.92


def cases(scenes: int, seed: int) -> list[tuple[Question, Rendered]]:
    """One question a scene; every fifth scene is a phantom, as in training."""
    found = []
    for index in range(scenes):
        world = phantom if index % 5 == 4 else stickers
        scene = world.sample(seed, index)
        found.append((question(scene), world.render(scene)))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=20251)
    given = parser.parse_args()
    from napari_vlexplain import ask

    right, pointed, covered = defaultdict(list), [], []
    for asked, drawn in cases(given.scenes, given.seed):
        found = ask(drawn.image, asked.text)
        kind = " ".join(asked.text.split()[:2])
        right[kind].append(found.answer == asked.answer)
        if asked.about and found.answer == asked.answer:
            x0, y0, x1, y1 = found.boxes[found.box_scores.argmax()]
            about = drawn.truth[list(asked.about)].any(0)
            pointed.append(bool(about[int((y0 + y1) / 2), int((x0 + x1) / 2)]))
            covered.append(float(about.mean()))
    for kind, hits in sorted(right.items()):
        print(f"{kind:12s} {np.mean(hits):.3f}  of {len(hits)}")
    total = float(np.mean([hit for hits in right.values() for hit in hits]))
    print(f"{'all':12s} {total:.3f}  of {given.scenes}  (at least {WANTED} is wanted)")
    print(f"centre of the most relevant box on what was asked about: {np.mean(pointed):.3f}  of {len(pointed)}")
    print(f"(by chance {np.mean(covered):.3f})")
    return int(total < WANTED)


if __name__ == "__main__":
    raise SystemExit(main())
