"""How the benchmark scales: workers, length of the plan, size of the report.

    python benchmarks/scaling.py [--cases 24] [--markdown docs/scaling.md]

Three figures: cases a second for 1 and 2 workers on the phantom study (the rows of both have to be identical); the cost
of a case when a plan is 100 and 10,000 cases long (synthetic work, so that only our own cost is left); and time and
peak memory of the report on 100,000 rows.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]
os.environ.setdefault("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")]))

import benchmark_work as synthetic  # noqa: E402

from napari_vlexplain.benchmark.plan import make_plan  # noqa: E402
from napari_vlexplain.benchmark.rows import UNTIMED  # noqa: E402
from napari_vlexplain.benchmark.runner import run_benchmark  # noqa: E402
from napari_vlexplain.benchmark.store import Store, read_rows, write_header  # noqa: E402
from napari_vlexplain.datasets.catalogue import open_dataset  # noqa: E402

_REPORT = """
import resource, sys, time
sys.path.insert(0, sys.argv[2])
from napari_vlexplain.benchmark.report import make_report
began = time.perf_counter()
rows = make_report(sys.argv[1]).table.rows
used = resource.getrusage(resource.RUSAGE_SELF)
print(rows, time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--cases", type=int, default=24, help="of the phantom study, for the first figure")
    arguments.add_argument("--markdown", type=Path, help="write the figures here too")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="vlexplain-scaling-") as scratch:
        lines = [*workers(Path(scratch), chosen.cases), *length(Path(scratch)), *report(Path(scratch))]
    cores, busy = os.cpu_count() or 1, os.getloadavg()[0]
    heading = f"Measured on {platform.machine()}, {cores} cores, Python {platform.python_version()}, load {busy:.1f}."
    if busy > cores + 2:
        heading += " The machine was shared while this ran: the rates of workers say nothing about a quiet one."
    text = "\n".join(["# How the benchmark scales", "", heading, "", *lines]) + "\n"
    print(text)
    if chosen.markdown:
        chosen.markdown.write_text(text, encoding="utf-8")


def workers(scratch: Path, count: int) -> list[str]:
    """Cases a second with 1 and 2 workers, start of the cluster left out."""
    plan = make_plan(open_dataset("phantom-study", limit=count), methods=["relevance", "rollout"], floors=False,
                     device="cpu")  # fmt: skip
    lines, found = ["| workers | cases a second | of one worker |", "|---|---|---|"], []
    rates: list[float] = []
    for number in (1, 2):
        out = scratch / f"workers-{number}"
        outcome = run_benchmark(plan, out, workers=number)
        rates.append(outcome.rate / len(plan.methods))
        lines.append(f"| {number} | {rates[-1]:.2f} | {rates[-1] / rates[0]:.2f} |")
        found.append(_untimed(out))
    assert found[0] == found[1], "rows differ between 1 and 2 workers"
    return [*lines, "", f"{count} cases with two methods and all metrics of localisation; the rows are identical.", ""]


def length(scratch: Path) -> list[str]:
    """Our own cost of a case, for a short and a long plan."""
    lines = ["| cases in the plan | ms a case |", "|---|---|"]
    for count in (100, 1000, 10_000):
        began = time.perf_counter()
        run_benchmark(synthetic.plan(count), scratch / f"length-{count}", workers=0, work=synthetic.work,
                      look=synthetic.look)  # fmt: skip
        lines.append(f"| {count} | {1000 * (time.perf_counter() - began) / count:.2f} |")
    return [*lines, "", "Synthetic work in one process: what planning, keeping and telling cost by themselves.", ""]


def report(scratch: Path, rows: int = 100_000) -> list[str]:
    """Time and peak memory of a report, in a process of its own."""
    folder = scratch / "report"
    metrics = ("average_precision", "cnr", "energy", "pointing_game", "deletion")
    arms = ("relevance", "rollout", "raw_attention", "m2ib", "rise", "occlusion", "attention_grad_cam",
            "integrated_gradients", "floor:random", "floor:centre")  # fmt: skip
    curve = {"fractions": [k / 20 for k in range(21)], "values": [0.5] * 21, "normalised_auc": 0.5}
    count = rows // (len(metrics) * len(arms))
    with Store(folder) as store:
        for task in synthetic.plan(count, metrics=metrics).tasks(set()):
            for k, arm in enumerate(arms):
                made = [replace(row, key=f"{row.key}{k}", method=arm) for row in synthetic.rows_of(task)]
                store.append(replace(r, detail=curve) if r.metric == "deletion" else r for r in made)
    write_header(folder, {"dataset": "synthetic", "title": "Synthetic"})
    told = subprocess.run([sys.executable, "-c", _REPORT, str(folder), str(ROOT)], check=True, capture_output=True)
    read, seconds, processor, peak = told.stdout.split()
    return [f"Report on {int(read):,} rows, page with plots included: {float(seconds):.1f} s "
        f"({float(processor):.1f} s of processor time), peak memory "
            f"{float(peak):.0f} MiB.", ""]  # fmt: skip


def _untimed(folder: Path) -> list[dict[str, object]]:
    rows = sorted(read_rows(folder), key=lambda row: row.key)
    return [{name: getattr(row, name) for name in UNTIMED} for row in rows]


if __name__ == "__main__":
    main()
