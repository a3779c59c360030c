"""The benchmark on Dask: any number of workers, workers that die, schedulers of somebody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import benchmark_work as bw
import pytest

from napari_vlexplain.benchmark import runner
from napari_vlexplain.benchmark import store as st
from napari_vlexplain.benchmark.cluster import default_workers, gpu_names
from napari_vlexplain.benchmark.rows import UNTIMED
from napari_vlexplain.benchmark.runner import run_benchmark
from napari_vlexplain.cli import main
from napari_vlexplain.errors import Cancelled, VLExplainError

ROOT = Path(__file__).parents[2]
HERE = {**os.environ, "PYTHONPATH": f"{ROOT / 'tests' / 'helpers'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}


def untimed(folder: Path) -> list[dict]:
    rows = sorted(st.read_rows(folder), key=lambda row: row.key)
    return [{name: getattr(row, name) for name in UNTIMED} for row in rows]


@pytest.fixture(scope="module")
def cluster() -> Iterator:
    """Worker processes, shared by tests that kill none of them."""
    from distributed import LocalCluster

    made = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    yield made
    with suppress(KeyError):  # distributed trips over workers that it has just closed itself
        made.close()


def scaled(cluster, workers: int) -> str:
    cluster.scale(workers)
    cluster.wait_for_workers(workers, timeout=120)
    return cluster.scheduler_address


def test_one_two_and_four_workers_give_identical_rows(cluster, tmp_path: Path) -> None:
    found = []
    for workers in (1, 2, 4):
        out = tmp_path / str(workers)
        outcome = run_benchmark(
            bw.plan(30, methods=2), out, scheduler=scaled(cluster, workers), work=bw.work, look=bw.look
        )
        assert (outcome.tasks, outcome.rows, outcome.broken) == (60, 120, 0)
        found.append(untimed(out))
    assert found[0] == found[1] == found[2]


def test_the_dashboard_answers_while_it_works(cluster, tmp_path: Path) -> None:
    told: list[bytes] = []

    def look_at(address: str) -> None:
        with urlopen(address, timeout=30) as page:
            told.append(page.read())

    run_benchmark(bw.plan(2), tmp_path, scheduler=scaled(cluster, 1), on_dashboard=look_at, work=bw.work, look=bw.look)
    assert len(told) == 1 and b"Dask" in told[0]


def test_cancelled_work_goes_on_where_it_stopped(cluster, tmp_path: Path) -> None:
    address = scaled(cluster, 1)
    seen: list = []
    with pytest.raises(Cancelled):
        run_benchmark(bw.plan(40), tmp_path / "out", scheduler=address, work=bw.slow_work, look=bw.look,
                      on_rows=seen.append, cancel=lambda: len(seen) >= 5)  # fmt: skip
    kept = len({row.case for row in st.read_rows(tmp_path / "out")})
    assert 5 <= kept < 40
    outcome = run_benchmark(bw.plan(40), tmp_path / "out", scheduler=address, work=bw.work, look=bw.look)
    assert outcome.tasks == 40 - kept


def test_a_result_lost_on_its_way_is_computed_again(cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch, lost = runner._Dask._value, []

    def lose_one(self, future):
        found = fetch(self, future)
        if not lost and isinstance(found, tuple) and found[0][0].case == "case-00002":
            lost.append(future.key)
            raise runner._LostError
        return found

    monkeypatch.setattr(runner._Dask, "_value", lose_one)
    outcome = run_benchmark(bw.plan(6), tmp_path, scheduler=scaled(cluster, 1), work=bw.work, look=bw.look)
    assert lost and (outcome.tasks, outcome.rows, outcome.broken) == (6, 12, 0)


def test_an_error_of_the_work_is_a_row(cluster, tmp_path: Path) -> None:
    outcome = run_benchmark(bw.plan(4), tmp_path, scheduler=scaled(cluster, 1), work=bw.breaks, look=bw.look)
    assert (outcome.tasks, outcome.broken) == (4, 2)
    reasons = {row.reason for row in st.read_rows(tmp_path)}
    assert reasons == {"", "failed: the worker failed: RuntimeError: the roof fell in"}


def test_real_figures_of_workers_equal_to_the_last_digit(cluster, tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("two", 2)):
        words = ["benchmark", "phantom-study", "--limit", "3", "--no-floors", "--metrics", "energy,cnr,drop"]
        address = scaled(cluster, workers)
        assert main([*words, "--out", str(tmp_path / name), "--scheduler", address]) == 0
    assert untimed(tmp_path / "one") == untimed(tmp_path / "two")
    assert len(untimed(tmp_path / "one")) == 3 * 3


@pytest.mark.parametrize("work", [bw.dies_once, bw.dies_always])
def test_a_killed_worker_costs_no_row_but_its_own(work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLEXPLAIN_MARKS", str(tmp_path))
    outcome = run_benchmark(replace(bw.plan(12), device="cpu"), tmp_path / "out", workers=2, work=work, look=bw.look)
    assert outcome.tasks == 12 and outcome.rows == 24
    guilty = {row.case for row in st.read_rows(tmp_path / "out") if row.value is None}
    assert guilty == (set() if work is bw.dies_once else {"case-00001"})


INTERRUPTED = """
import sys, benchmark_work as bw
from napari_vlexplain.benchmark.runner import run_benchmark
if __name__ == "__main__":
    try:
        run_benchmark(bw.plan(2000), sys.argv[1], workers=2, work=bw.slow_work, look=bw.look)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_an_interrupt_of_the_whole_terminal_ends_in_peace(tmp_path: Path) -> None:
    """Ctrl-C reaches the workers as well: nothing finished is lost, nobody complains, no process stays."""
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, str(script), str(out)], env=HERE, stderr=subprocess.PIPE, start_new_session=True
    )
    while len(list(st.iterate_records(out, "rows"))) < 10:
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.decode()) == (130, "")
    kept = untimed(out)
    assert len(kept) >= 10
    outcome = run_benchmark(bw.plan(2000), out, workers=0, work=bw.work, look=bw.look)
    assert outcome.rows == 4000 - len(kept)


def test_scheduler_and_workers_of_somebody_else(tmp_path: Path) -> None:
    """As on a real cluster: three processes that know nothing of us, found by their address."""
    file = tmp_path / "scheduler.json"
    python = [sys.executable, "-m"]
    commands = [
        [*python, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file),
         "--no-dashboard"],
        *[[*python, "distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny",
           "--no-dashboard", "--local-directory", str(tmp_path)] for _ in range(2)],
    ]  # fmt: skip
    started = [subprocess.Popen(c, env=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for c in commands]
    try:
        while not file.exists():
            assert started[0].poll() is None
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        run_benchmark(bw.plan(20), tmp_path / "out", scheduler=address, work=bw.slow_work, look=bw.look)
        run_benchmark(bw.plan(20), tmp_path / "here", workers=0, work=bw.work, look=bw.look)
        assert untimed(tmp_path / "out") == untimed(tmp_path / "here")
    finally:
        for process in started:
            process.kill()  # asked to end while it looks for its scheduler, a worker goes on looking
            process.wait()


def test_nobody_at_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_vlexplain.benchmark.cluster.PATIENCE", "2s")
    with pytest.raises(VLExplainError, match="Nobody answers at tcp://127"):
        run_benchmark(bw.plan(2), tmp_path, scheduler="tcp://127.0.0.1:1", work=bw.work, look=bw.look)


def test_each_worker_sees_one_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    run_benchmark(bw.plan(16), tmp_path, work=bw.tells_device, look=bw.look)
    pairs = {tuple(row.reason.split()) for row in st.read_rows(tmp_path)}
    assert {device for device, _ in pairs} == {"3", "5"}
    assert len({process for _, process in pairs}) == len(pairs) == 2


def test_one_worker_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert gpu_names() == ["3", "5"] and default_workers() == 2
    assert default_workers("cpu") == len(os.sched_getaffinity(0))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_names() == []
