"""Reports: means, intervals, differences, floors, what is missing, and what the pages say."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import benchmark_work as bw
import numpy as np
import pytest

from napari_vlexplain.benchmark.published import PUBLISHED, related
from napari_vlexplain.benchmark.reporting.documents import make_report
from napari_vlexplain.benchmark.reporting.summary import summarise
from napari_vlexplain.benchmark.reporting.table import Item, Table, read_table
from napari_vlexplain.benchmark.rows import Row
from napari_vlexplain.benchmark.store import Store, write_header
from napari_vlexplain.cli import main
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.metrics import statistics as stats

ARMS = ("relevance", "rollout", "floor:random")


def rows(count: int = 40, seed: int = 0) -> list[Row]:
    """Two patients' cases in turn; relevance beats rollout by 0.2 everywhere, and has no value in case 3."""
    rng = np.random.default_rng(seed)
    found = []
    for task in bw.plan(count, metrics=("average_precision",)).tasks(set()):
        base = 0.3 + 0.1 * rng.random()
        for k, arm in enumerate(ARMS):
            (row,) = bw.rows_of(task)
            missing = arm == "relevance" and row.case == "case-00003"
            value = None if missing else base + (0.2, 0.0, -0.1)[k]
            found.append(replace(row, key=f"{row.key}{k}", method=arm, value=value, reason="why not" * missing))
            counts = {"tp": 10, "fp": 5 * k, "fn": 10, "tn": 75 - 5 * k}
            found.append(replace(row, key=f"{row.key}{k}m", method=arm, metric="iou_mean", value=0.4, detail=counts))
            line = {"fractions": [0, 0.5, 1], "values": [0, base, 1], "score": "softmax"}
            found.append(
                replace(row, key=f"{row.key}{k}i", method=arm, metric="insertion_ala", value=base, detail=line)
            )
    return found


def folder_of(path: Path, found: list[Row], **header) -> Path:
    with Store(path) as store:
        store.append(found)
    write_header(path, {"dataset": "synthetic", "title": "Synthetic <cases>", **header})
    return path


def test_means_intervals_and_differences(tmp_path: Path) -> None:
    table = read_table(folder_of(tmp_path, rows()))
    summary = summarise(table, asked=ARMS)
    assert [arm.method for arm in summary.arms] == list(ARMS)
    lines = {line.arm.method: line for line in summary.lines if line.metric == "average_precision"}
    one, other = lines["relevance"], lines["rollout"]
    assert one.interval.low < one.interval.mean < one.interval.high
    assert (one.interval.n, one.interval.missing) == (39, 1) and other.interval.n == 40
    assert one.best and not other.best and not lines["floor:random"].best
    assert other.against is not None and other.against.n == 39
    assert [other.against.mean, other.against.low, other.against.high] == pytest.approx([-0.2] * 3)
    assert other.against.excludes_zero and one.against is None
    assert summarise(table, "rollout").line(one.arm, "average_precision").against.mean == pytest.approx(0.2)
    assert one.classes == pytest.approx(stats.class_mean(table.values["average_precision"][:, 0],
                                                         [i.category for i in table.items]))  # fmt: skip
    with pytest.raises(VLExplainError, match="No rows of 'nope'"):
        summarise(table, "nope")


def test_pooled_iou_by_hand(tmp_path: Path) -> None:
    summary = summarise(read_table(folder_of(tmp_path, rows())))
    means = {line.arm.method: line.interval.mean for line in summary.lines if line.metric == "iou_dataset_fg_bg"}
    assert means["relevance"] == pytest.approx((10 / 20 + 75 / 85) / 2)
    assert means["rollout"] == pytest.approx((10 / 25 + 70 / 85) / 2)


def test_reports_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    found = rows()
    shuffled = [found[k] for k in np.random.default_rng(1).permutation(len(found))]
    texts = [make_report(folder_of(tmp_path / str(k), some), page=False).files["csv"].read_text()
             for k, some in enumerate((found, shuffled))]  # fmt: skip
    assert texts[0] == texts[1]


def test_clusters_are_resampled_whole() -> None:
    values = np.repeat(np.random.default_rng(0).normal(0, 1, 30), 10)[:, None]
    alone, together = np.arange(300), np.repeat(np.arange(30), 10)
    (narrow,), (wide,) = stats.intervals(values, alone), stats.intervals(values, together)
    assert [narrow.mean, wide.mean] == pytest.approx([values.mean()] * 2)
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(10**0.5, rel=0.15)
    error = 1.96 * values[:, 0].std() / 300**0.5
    assert (narrow.high - narrow.low) / 2 == pytest.approx(error, rel=0.1)


def test_intervals_repeat_and_know_their_limits() -> None:
    values = np.random.default_rng(0).random((20, 2))
    values[:, 1] = np.nan
    groups = np.arange(20)
    first, second = stats.intervals(values, groups, 3), stats.intervals(values, groups, 3)
    assert first[0] == second[0] and np.isnan(first[1].mean) and np.isnan(first[1].low)
    (single,) = stats.intervals(values[:, :1], np.zeros(20, np.intp))
    assert single.mean == pytest.approx(values[:, 0].mean()) and np.isnan(single.low)


def test_items_of_one_patient_are_one_cluster_whichever_image_they_are_of() -> None:
    items = [Item(case, prompt, "text", "", patient) for case, prompt, patient in
             (("a", 0, "p1"), ("a", 1, "p1"), ("b", 0, "p2"), ("c", 0, "p1"), ("d", 0, "p3"))]  # fmt: skip
    table = Table(items, [], [], {}, {}, {}, {}, {}, {}, {}, {})
    assert table.clusters.tolist() == [0, 0, 1, 0, 2]


def test_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(100):
        (found,) = stats.intervals(rng.normal(1, 1, (40, 1)), np.arange(40), replicates=300)
        hits += found.low <= 1 <= found.high
    assert 88 <= hits <= 99


def test_class_mean_weighs_classes_alike() -> None:
    assert stats.class_mean(np.array([1, 1, 1, 0, np.nan]), ["a", "a", "a", "b", "b"]) == 0.5
    assert np.isnan(stats.class_mean(np.ones(2), ["", ""]))


def test_what_is_written(tmp_path: Path) -> None:
    made = make_report(
        folder_of(tmp_path, rows(), skipped=["a.csv, line 3: no area."], skipped_count=1), published="all"
    )
    lines = list(csv.DictReader(made.files["csv"].open()))
    one = next(x for x in lines if x["method"] == "relevance" and x["metric"] == "average_precision")
    assert (one["n"], one["missing"], one["floor"], one["difference"]) == ("39", "1", "0", "")
    markdown = made.files["md"].read_text()
    for words in (
        "why not",
        "a.csv, line 3",
        "Floors know neither",
        "M2IB, Table 1",
        "(published)",
        "(ours)",
        "20 groups",
    ):
        assert words in markdown
    page = made.files["html"].read_text()
    assert "Synthetic &lt;cases&gt;" in page and "<cases>" not in page
    assert page.count("data:image/svg+xml;base64,") >= 5
    assert not re.search(r'(src|href)="(?!data:)', page) and "<script" not in page
    assert "No pictures" in page


def test_gallery_of_real_cases_and_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    told = ["benchmark", "phantom-study", "--limit", "2", "--metrics", "localisation", "--out", out, "--workers", "0"]
    assert main(told) == 0
    first = capsys.readouterr()
    assert "Pointing game" in first.out and "floor:edges" in first.out and "rows kept in" in first.err
    assert "never for clinical use" in first.out
    assert main(told) == 0 and "Nothing is missing" in capsys.readouterr().err
    assert main(["report", out, "--published", "all"]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert (
        page.count("data:image/jpeg;base64,") == 2 and "Best and worst" in page and "iou_" not in page.split("<h2>")[1]
    )
    capsys.readouterr()
    assert main(["report", out, "--json", "--no-page"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["cases"] == 2 and {line["metric"] for line in document["lines"]} >= {"cnr", "iou_dataset_fg_bg"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["benchmark", "nope"], "no data set"),
        (["benchmark", "cub"], "name it"),
        (["benchmark", "stickers", "--methods", "nope"], "no method"),
        (["benchmark", "stickers", "--metrics", "nope"], "no metric"),
        (["benchmark", "stickers", "--workers", "1", "--scheduler", "tcp://x:1"], "not both"),
        (["benchmark", "stickers", "--limit", "1", "--models", "nope", "--workers", "0", "--out", "{tmp}"], "no model"),
        (["report", "{tmp}"], "holds no rows"),
        (["report", "{tmp}", "--published", "some"], "related, all or none"),
        (["datasets", "nope"], "no data set"),
    ],
)
def test_bad_input_is_one_line(words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word.format(tmp=tmp_path) for word in words]) == 2
    error = capsys.readouterr().err
    assert told in error and len(error.splitlines()) == 1


def test_data_sets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets", "--json"]) == 0
    assert {"ms-cxr", "cub", "stickers"} <= {one["name"] for one in json.loads(capsys.readouterr().out)}
    assert main(["datasets", "ms-cxr"]) == 0
    assert "MS_CXR_Local_Alignment" in capsys.readouterr().out


def test_published_figures_are_those_of_the_papers() -> None:
    named = {table.name: table for table in PUBLISHED}
    assert named["M2IB, Table 1: confidence and ROAR+"].rows["M2IB"] == (1.11, 41.55, 10.59)
    assert named["ALA, Table 2: CUB-200-2011"].rows["ALA"] == (0.693, 0.704, 0.007, 0.697)
    assert named["DSMI: perturbation of LXMERT"].rows["DSMI"] == (53.47, 59.13, 28.67, 40.28)
    assert all(len(values) == len(table.columns) for table in PUBLISHED for values in table.rows.values())
    assert [table.name[:4] for table in related(["drop"])] == ["M2IB"]
