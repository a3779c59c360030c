"""Rows, part files and plans: what is kept, what is passed over, what is still to do."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import benchmark_work as bw
import pytest

from napari_vlexplain.benchmark import store as st
from napari_vlexplain.benchmark.plan import MethodChoice, make_plan
from napari_vlexplain.benchmark.reporting.summary import names_of
from napari_vlexplain.benchmark.reporting.table import read_table
from napari_vlexplain.benchmark.rows import FAILED, UNTIMED, Row
from napari_vlexplain.benchmark.runner import duration, run_benchmark
from napari_vlexplain.datasets.catalogue import open_dataset
from napari_vlexplain.errors import Cancelled, VLExplainError

HERE = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[1] / 'helpers'}{os.pathsep}{Path(__file__).parents[2]}"}


def run(count: int, folder: Path, **options):
    """In this process, without a cluster."""
    chosen = {"workers": 0, "work": bw.work, "look": bw.look, **options}
    plan = chosen.pop("plan", None) or bw.plan(count)
    return run_benchmark(plan, folder, **chosen)


def stored(folder: Path) -> list[Row]:
    return sorted(st.read_rows(folder), key=lambda row: row.key)


def untimed(folder: Path) -> list[dict]:
    return [{name: getattr(row, name) for name in UNTIMED} for row in stored(folder)]


def test_rows_survive_the_way_to_the_disk_and_back(tmp_path: Path) -> None:
    (task,) = bw.plan(1, metrics=("energy",)).tasks(set())
    row = replace(bw.rows_of(task)[0], text="a “cat”\nand more", value=None, reason="why", detail={"tp": 1})
    assert row.line().count("\n") == 1
    assert Row.of(json.loads(row.line())) == row
    with pytest.raises(ValueError, match="JSON"):
        replace(row, value=float("nan")).line()


def test_a_second_start_computes_only_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setenv("VLEXPLAIN_MARKS", str(marks))
    out = tmp_path / "out"
    seen = []
    with pytest.raises(Cancelled):
        run(6, out, work=bw.counting_work, on_rows=seen.append, cancel=lambda: len(seen) >= 3)
    assert len(stored(out)) == 6 and len(list(marks.iterdir())) == 3
    outcome = run(6, out, work=bw.counting_work)
    assert (outcome.total, outcome.tasks, outcome.rows) == (6, 3, 6)
    assert run(6, out, work=bw.counting_work).tasks == 0
    assert [mark.read_text() for mark in marks.iterdir()] == ["x"] * 6
    assert len(st.parts(out, "rows")) == 2
    more = run(6, out, work=bw.counting_work, plan=bw.plan(6, metrics=("energy", "cnr", "complexity")))
    assert (more.tasks, more.rows) == (6, 6)
    assert {row.metric for row in stored(out)} == {"energy", "cnr", "complexity"}


def test_another_precision_has_rows_of_its_own_and_float32_those_of_before(tmp_path: Path) -> None:
    (task,) = bw.plan(1, metrics=("energy",)).tasks(set())
    asked = ["synthetic", "case-00000", 0, "prompt 0 0", "toy", "relevance:start_block=0", "similarity", 0, "energy"]
    assert task.row_key(0, "energy") == hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
    run(3, tmp_path)
    part = st.parts(tmp_path, "rows")[0]
    part.write_bytes(part.read_bytes().replace(b',"dtype":"float32"', b""))  # as before there was a choice
    assert run(3, tmp_path).tasks == 0
    before, half = untimed(tmp_path), replace(bw.plan(3), dtype="bfloat16")
    assert run(3, tmp_path, plan=half).tasks == 3 and run(3, tmp_path, plan=half).tasks == 0
    assert [row for row in untimed(tmp_path) if row["dtype"] == "float32"] == before
    assert [start["dtype"] for start in st.read_header(tmp_path)["starts"]] == ["float32", "bfloat16"]
    table = read_table(tmp_path)
    assert {arm.dtype: len(table.items) for arm in table.arms} == {"float32": 3, "bfloat16": 3}
    assert sorted(names_of(table.arms).values()) == [
        f"{task.method.label} · {dtype}" for dtype in ("bfloat16", "float32")
    ]


def test_another_size_has_rows_of_its_own_and_the_own_size_those_of_before(tmp_path: Path) -> None:
    run(3, tmp_path)
    part = st.parts(tmp_path, "rows")[0]
    part.write_bytes(part.read_bytes().replace(b',"size":null', b""))  # as before there was a choice
    assert run(3, tmp_path).tasks == 0
    before, large = untimed(tmp_path), replace(bw.plan(3), size=384)
    assert run(3, tmp_path, plan=large).tasks == 3 and run(3, tmp_path, plan=large).tasks == 0
    assert [row for row in untimed(tmp_path) if row["size"] is None] == before
    assert [start["size"] for start in st.read_header(tmp_path)["starts"]] == [None, 384]
    table = read_table(tmp_path)
    assert {arm.size: len(table.items) for arm in table.arms} == {None: 3, 384: 3}
    label = next(bw.plan(1).tasks(set())).method.label
    assert sorted(names_of(table.arms).values()) == [f"{label} · 384 px", f"{label} · own size"]


def test_torn_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    run(3, tmp_path)
    part = st.parts(tmp_path, "rows")[0]
    before = untimed(tmp_path)
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join([lines[0], b"{not json}\n", *lines[1:-1], lines[-1][:40]]))
    broken: list[str] = []
    assert len(list(st.read_rows(tmp_path, broken))) == len(before) - 1
    assert broken == [f"line 2 of {part.name} is broken"]
    outcome = run(3, tmp_path)
    assert outcome.tasks == 1 and untimed(tmp_path) == before


def test_failed_rows_stay_until_they_are_tried_again(tmp_path: Path) -> None:
    def break_one(task):
        from napari_vlexplain.benchmark.work import failed

        return (failed(task, "no luck"), []) if task.entry.id == "case-00001" else bw.work(task)

    first = run(3, tmp_path, work=break_one)
    assert first.broken == 2
    assert run(3, tmp_path).tasks == 0
    assert run(3, tmp_path, retry=True).tasks == 1
    assert not any(row.reason.startswith(FAILED) for row in stored(tmp_path))
    assert len(stored(tmp_path)) == 6


def test_a_folder_belongs_to_one_data_set(tmp_path: Path) -> None:
    run(2, tmp_path)
    other = bw.plan(2)
    with pytest.raises(VLExplainError, match="holds rows of synthetic"):
        run(2, tmp_path, plan=replace(other, data=replace(other.data, name="other")))
    with pytest.raises(VLExplainError, match="the split"):
        run(2, tmp_path, plan=replace(other, data=replace(other.data, facts={"split": "test"})))
    (tmp_path / "file").touch()
    with pytest.raises(VLExplainError, match="cannot be written"):
        run(2, tmp_path / "file")


def test_two_stores_write_into_one_folder(tmp_path: Path) -> None:
    tasks = list(bw.plan(4).tasks(set()))
    with st.Store(tmp_path) as one, st.Store(tmp_path) as two:
        for number, task in enumerate(tasks):
            (one if number % 2 else two).append(*bw.work(task))
    assert len(st.parts(tmp_path, "rows")) == 2 and len(stored(tmp_path)) == 8
    with st.Store(tmp_path):
        pass
    assert len(st.parts(tmp_path, "rows")) == 2  # an empty part is taken away


SCRIPT = """
import sys, benchmark_work as bw
from napari_vlexplain.benchmark.runner import run_benchmark
from napari_vlexplain.errors import VLExplainError
try:
    work = bw.slow_work if sys.argv[2] == "slow" else bw.work
    run_benchmark(bw.plan(400), sys.argv[1], workers=0, work=work, look=bw.look)
except VLExplainError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
def test_whoever_is_killed_loses_nothing_that_was_finished(tmp_path: Path, number: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path), "slow"], env=HERE, stderr=subprocess.PIPE)
    while len(list(st.iterate_records(tmp_path, "rows"))) < 6:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    assert process.communicate(timeout=30) and process.returncode != 0
    kept = stored(tmp_path)
    assert len(kept) >= 6
    outcome = run(400, tmp_path)
    assert outcome.tasks == 400 - len({row.case for row in kept if len([r for r in kept if r.case == row.case]) == 2})
    assert untimed(tmp_path) == untimed_of_a_whole_run(tmp_path / "whole")


def untimed_of_a_whole_run(folder: Path) -> list[dict]:
    run(400, folder)
    return untimed(folder)


def test_a_full_disk_keeps_what_was_finished(tmp_path: Path) -> None:
    def little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), "fast"], env=HERE, preexec_fn=little_room, capture_output=True
    )
    assert ended.returncode == 1 and b"make room" in ended.stderr and b"Traceback" not in ended.stderr
    part = st.parts(tmp_path, "rows")[0]
    assert 0 < part.stat().st_size <= 20_000 and part.read_bytes().endswith(b"\n")
    kept = len(stored(tmp_path))
    assert run(400, tmp_path).rows == 800 - kept
    assert untimed(tmp_path) == untimed_of_a_whole_run(tmp_path / "whole")


def test_progress_tells_rate_and_time_left(tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    run(40, tmp_path, progress=lambda share, text: told.append((share, text)))
    assert told[-1][0] == 1 and told[-1][1].startswith("40 of 40, ") and "left" in told[-1][1]
    assert [duration(s) for s in (3, 600, 7200)] == ["3 s", "10 min", "2 h 0 min"]


def test_methods_are_written_and_read_alike() -> None:
    for text in ("relevance", "m2ib:beta=0.5;layer=3", "floor:edges", "relevance:start_block=0"):
        assert MethodChoice.parse(text).label == text
    assert MethodChoice.parse("m2ib: layer=3 ; beta=0.5") == MethodChoice.parse("m2ib:beta=0.5;layer=3")
    for wrong in ("nope", "floor:nope", "relevance:x=1", "relevance:start_block", "m2ib:beta=much"):
        with pytest.raises(VLExplainError):
            MethodChoice.parse(wrong)


def test_plans_are_checked() -> None:
    data = open_dataset("phantom-study")
    plan = make_plan(data, methods=["relevance"])
    assert len(plan.methods) == 5 and plan.count() == 24 * 5 and "average_precision" in plan.metrics
    assert len(list(plan.tasks(set(), frozenset({("mini", "relevance")})))) == 24 * 4
    captions = replace(data, entries=tuple(replace(e, truths=()) for e in data.entries))
    assert "insertion" in make_plan(captions).metrics
    assert not any(m in make_plan(captions, metrics=["all"]).metrics for m in ("cnr", "energy"))
    costly = make_plan(data, metrics=["randomisation", "drop_words", "cnr"])
    assert costly.metrics_for(costly.methods[-1]) == ("cnr",)
    others = {task.entry.id: task.other_prompt for task in make_plan(data, metrics=["prompt_spearman"]).tasks(set())}
    assert all(others[e.id] and others[e.id] != e.prompts[0] for e in data.entries)
    for wrong in (
        {"methods": []},
        {"target": "nope"},
        {"target": "softmax"},
        {"metrics": ["miou"]},
    ):
        with pytest.raises(VLExplainError):
            make_plan(data, **wrong)
    with pytest.raises(VLExplainError, match="needs a ground truth"):
        make_plan(captions, metrics=["localisation"])


def test_keys_depend_on_everything_that_was_asked() -> None:
    (task,) = bw.plan(1).tasks(set())
    others = [
        replace(task, model="other"),
        replace(task, method=MethodChoice("rollout")),
        replace(task, target="logit"),
        replace(task, seed=1),
        replace(task, entry=replace(task.entry, prompts=("other",))),
        replace(task, entry=replace(task.entry, id="other")),
        replace(task, dataset="other"),
    ]
    keys = {one.row_key(0, "cnr") for one in (task, *others)} | {task.row_key(0, "energy")}
    assert len(keys) == len(others) + 2
