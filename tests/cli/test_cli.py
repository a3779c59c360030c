"""The command: what it prints, what it saves, and how it ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import napari_vlexplain
from napari_vlexplain import Explanation, list_methods
from napari_vlexplain.cli import main
from napari_vlexplain.cli.app import app
from napari_vlexplain.cli.console import write_json
from napari_vlexplain.cli.gui import has_display
from napari_vlexplain.cli.listing import on_this_machine
from napari_vlexplain.cli.options import parameters_of, threshold_of_text
from napari_vlexplain.datasets.worlds import cases
from napari_vlexplain.errors import Unexpected, VLExplainError
from napari_vlexplain.models.zoo import ModelInfo, known_models
from napari_vlexplain.results.bundle import load_masks
from napari_vlexplain.running.logs import for_people, log_file
from napari_vlexplain.running.run import Run

ROOT = Path(napari_vlexplain.__file__).parent.parent


@dataclass
class Ended:
    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def vlexplain(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process."""

    def run(*words: Any) -> Ended:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sticker scene with its mask beside it: scene.png, truth.png, boxes.json, prompt.txt."""
    folder = tmp_path_factory.mktemp("scene")
    (case,) = cases("stickers", 1, seed=5)
    Image.fromarray(case.image).save(folder / "scene.png")
    Image.fromarray(case.masks[0]).save(folder / "truth.png")
    rows, columns = np.nonzero(case.masks[0])
    x, y = int(columns.min()), int(rows.min())
    box = [x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y]
    (folder / "boxes.json").write_text(json.dumps({"boxes": [box]}))
    (folder / "prompt.txt").write_text(case.prompts[0])
    return folder


@pytest.fixture
def prompt(scene: Path) -> str:
    return (scene / "prompt.txt").read_text()


def process(*words: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command as a process of its own."""
    command = [sys.executable, "-m", "napari_vlexplain.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, **options)


# Lists.


def test_models_are_listed(vlexplain: Command) -> None:
    ended = vlexplain("models")
    assert ended.code == 0 and ended.err == ""
    for word in ("mini", "openai/clip-vit-base-patch32", "BSD-3-Clause", "605 MB", "never for clinical use"):
        assert word in ended.out


def test_models_as_json(vlexplain: Command) -> None:
    listed = {entry["name"]: entry for entry in json.loads(vlexplain("models", "--json").out)}
    assert listed["mini"]["on_this_machine"] is True
    assert listed["mini"]["recommended"]["relevance"] == {"start_block": 0, "text_start_block": 0}
    assert listed["openai/clip-vit-base-patch16"]["licence"] == "MIT"


def test_all_that_is_known_of_a_model(vlexplain: Command) -> None:
    shown = vlexplain("models", "google/medsiglip-448").out
    for word in ("Health AI Developer Foundations", "3514 MB, gated", "32 x 32 patches", "not for diagnosis"):
        assert word in shown
    assert json.loads(vlexplain("models", "biovil", "--json").out)["towers"].startswith("ResNet-50")


def test_what_lies_in_the_cache_is_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    names = {
        "openai/clip-vit-base-patch32": "models--openai--clip-vit-base-patch32/snapshots/0/model.safetensors",
        "open_clip:ViT-B-32:laion2b_s34b_b79k": (
            "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K/snapshots/0/open_clip_model.safetensors"
        ),
    }
    for name, file in names.items():
        info = known_models()[name]
        assert not on_this_machine(info)
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
        assert on_this_machine(info)
    (tmp_path / "weights.pt").touch()
    assert on_this_machine(ModelInfo(f"open_clip:ViT-B-32:{tmp_path / 'weights.pt'}", "", "MIT", 1, "", ""))


def test_methods_are_listed_and_shown(vlexplain: Command) -> None:
    listed = vlexplain("methods")
    for info in list_methods():
        assert info.name in listed.out
    shown = vlexplain("methods", "m2ib").out
    for word in ("beta", "β", "0.1", "0 to 1e+06", "price of a nat", "gradients", "NeurIPS 2023", "layer=5"):
        assert word in shown


def test_methods_as_json(vlexplain: Command) -> None:
    everything = json.loads(vlexplain("methods", "--json").out)
    assert [entry["name"] for entry in everything] == [info.name for info in list_methods()]
    one = json.loads(vlexplain("methods", "m2ib", "--json").out)
    (beta,) = (entry for entry in one["parameters"] if entry["name"] == "beta")
    assert (beta["default"], beta["low"], beta["kind"], beta["symbol"]) == (0.1, 0.0, "float", "β")


def test_help_and_version(vlexplain: Command) -> None:
    for words in ((), ("--help",), ("-h",)):
        ended = vlexplain(*words)
        assert ended.code == 0
        for name in ("explain", "models", "methods", "demo", "gui"):
            assert f"\n  {name}" in ended.out
    assert "--ground-truth" in vlexplain("explain", "--help").out
    assert vlexplain("--version").out == f"vlexplain {napari_vlexplain.__version__}\n"


def test_typer_itself_can_run_it() -> None:
    result = CliRunner().invoke(app, ["methods", "rollout"])
    assert result.exit_code == 0
    assert "same for every prompt" in result.stdout


@pytest.mark.parametrize(
    "words", [["--help"], ["models"], ["methods"], ["methods", "m2ib"], ["explain", "none.png", "x"]]
)
def test_no_torch_and_no_qt_before_there_is_something_to_compute(words: list[str]) -> None:
    code = (
        "import sys; from napari_vlexplain.cli import main; main(sys.argv[1:]);"
        "heavy = {'torch', 'transformers', 'open_clip', 'napari', 'qtpy'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr


# Explaining.


def test_explain_prints_a_table(vlexplain: Command, scene: Path, prompt: str) -> None:
    ended = vlexplain("explain", scene / "scene.png", prompt, "a photo of a submarine")
    assert ended.code == 0 and ended.err == ""
    expected = napari_vlexplain.explain(scene / "scene.png", [prompt, "a photo of a submarine"])
    for explanation in expected:
        assert explanation.prompt in ended.out
        assert f"{explanation.score:.4f}" in ended.out
    assert "never for clinical use" in ended.out
    assert "IoU" not in ended.out


def test_explain_as_json_is_one_document_with_the_librarys_numbers(
    vlexplain: Command, scene: Path, prompt: str
) -> None:
    ended = vlexplain("explain", scene / "scene.png", prompt, "--param", "start_block=-1", "--seed", 3, "--json")
    assert ended.code == 0 and ended.err == ""
    document = json.loads(ended.out)
    expected = napari_vlexplain.explain(scene / "scene.png", prompt, start_block=-1, seed=3)
    assert document["key"] == expected.request.key
    assert document["request"]["parameters"]["start_block"] == -1
    (found,) = document["explanations"]
    assert found["score"] == expected.score
    np.testing.assert_array_equal(np.array(found["patch_scores"], np.float32), expected.patch_scores)
    assert [(word["word"], word["score"]) for word in found["words"]] == expected.word_scores()
    peak = expected.heatmap[found["maximum"]["y"], found["maximum"]["x"]]
    assert peak == np.nanmax(expected.heatmap)
    assert found["figures"] is None and found["folder"] is None


@pytest.mark.parametrize("file", ["truth.png", "boxes.json"])
def test_explain_measures_against_a_ground_truth(vlexplain: Command, scene: Path, prompt: str, file: str) -> None:
    from napari_vlexplain.metrics.figures import measure
    from napari_vlexplain.truth.reading import read_ground_truth

    options = ("--ground-truth", scene / file, "--threshold", "q0.9")
    shown = vlexplain("explain", scene / "scene.png", prompt, *options)
    assert shown.code == 0
    document = json.loads(vlexplain("explain", scene / "scene.png", prompt, *options, "--json").out)
    figures = document["explanations"][0]["figures"]
    truth = read_ground_truth(scene / file, (224, 224))
    expected = measure(napari_vlexplain.explain(scene / "scene.png", prompt).heatmap, truth, "quantile", 0.9)
    assert figures == expected.as_dict()
    for name in ("iou", "dice", "precision", "recall", "pointing", "energy"):
        assert f"{figures[name]:.3f}" in shown.out


def test_undefined_figures_are_null(vlexplain: Command, scene: Path, prompt: str, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((224, 224), np.uint8)).save(tmp_path / "empty.png")
    words = ("explain", scene / "scene.png", prompt, "--ground-truth", tmp_path / "empty.png")
    figures = json.loads(vlexplain(*words, "--json").out)["explanations"][0]["figures"]
    assert figures["pointing"] is None and figures["iou"] == 0
    assert " - " in vlexplain(*words).out


def test_a_ground_truth_is_given_as_text_and_a_prompt_may_have_none(
    vlexplain: Command, scene: Path, tmp_path: Path
) -> None:
    boxes = [{"prompt": "a dog", "box": [10, 10, 50, 40]}, {"prompt": "a kite", "box": None}]
    words = ("explain", scene / "scene.png", "a dog", "a kite", "--ground-truth", json.dumps({"boxes": boxes}))
    dog, kite = json.loads(vlexplain(*words, "--json").out)["explanations"]
    assert dog["figures"]["chance"] == pytest.approx(50 * 40 / 224**2) and kite["figures"] is None
    ended = vlexplain(*words, "--out", tmp_path / "out")
    assert ended.code == 0 and "against the ground truth" in ended.out
    swapped = ("explain", scene / "scene.png", "a kite", "a dog", *words[4:])
    assert "against the ground truth" in vlexplain(*swapped).out


def test_out_keeps_a_bundle_for_each_prompt_and_a_picture(
    vlexplain: Command, scene: Path, prompt: str, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out"
    prompts = (prompt, "A kite?", "a kite!")
    words = ("explain", scene / "scene.png", *prompts, "--out", out, "--ground-truth", scene / "truth.png")
    document = json.loads(vlexplain(*words, "--threshold", "otsu", "--json").out)
    folders = [Path(entry["folder"]) for entry in document["explanations"]]
    assert [folder.name for folder in folders][1:] == [
        "scene_a-kite_relevance.vlexplain",
        "scene_a-kite-2_relevance.vlexplain",
    ]
    for folder, asked, entry in zip(folders, prompts, document["explanations"], strict=True):
        loaded = Explanation.load(folder)
        assert loaded.prompt == asked
        masks = load_masks(folder)
        np.testing.assert_array_equal(masks["ground truth"], np.asarray(Image.open(scene / "truth.png")))
        np.testing.assert_array_equal(masks["prediction"], loaded.heatmap >= entry["figures"]["threshold"])
    assert Image.open(document["picture"]).width > 600
    assert sorted(item.name for item in out.iterdir()) == sorted([f.name for f in folders] + ["scene_relevance.png"])
    again = vlexplain(*words)
    assert again.code == 0 and f"Saved {out / 'scene_relevance.png'}" in again.out


def test_the_command_that_a_request_prints_computes_it_again(vlexplain: Command, scene: Path, prompt: str) -> None:
    from napari_vlexplain.methods.targets import Target

    explanation = napari_vlexplain.explain(
        scene / "scene.png",
        [prompt, "two words; 'and' $quotes \"here\""],
        target=Target("margin", ("a cat",)),
        contrast_limits=(10.0, 200.5),
        seed=4,
        truncate=True,
        text_start_block=2,
    )[0]
    words = shlex.split(explanation.request.as_command())
    assert words[0] == "vlexplain"
    assert json.loads(vlexplain(words[1], "--json", *words[2:]).out)["key"] == explanation.request.key


def test_optional_parameters_can_be_left_to_the_method(vlexplain: Command, scene: Path, prompt: str) -> None:
    words = ("explain", scene / "scene.png", prompt, "--method", "m2ib", "--param", "steps=1", "--param", "samples=1")
    document = json.loads(vlexplain(*words, "--param", "layer=none", "--param", "text-layer=2", "--json").out)
    assert document["request"]["parameters"]["layer"] is None
    assert document["request"]["parameters"]["text_layer"] == 2


# Mistakes.

MISTAKES: list[tuple[list[str], str]] = [
    (["explain"], "Missing argument 'IMAGE'"),
    (["explain", "SCENE"], "Missing argument 'PROMPT'"),
    (["explain", "none.png", "dog"], "There is no file 'none.png'."),
    (["explain", ".", "dog"], "'.' is a folder, but one image is needed."),
    (["explain", "BOXES", "dog"], "boxes.json cannot be read as an image"),
    (["explain", "SCENE", " "], "A prompt is empty"),
    (["explain", "SCENE", "dog", "--bogus"], "No such option: --bogus"),
    (["explain", "SCENE", "dog", "--method", "foo"], "There is no method 'foo'; choose one of relevance,"),
    (["explain", "SCENE", "dog", "--method", "relevnce"], "There is no method 'relevnce'; did you mean relevance?"),
    (["explain", "SCENE", "dog", "--model", "foo"], "There is no model 'foo'; choose one of mini,"),
    (["explain", "SCENE", "dog", "--target", "foo"], "There is no target 'foo'; choose one of similarity,"),
    (["explain", "SCENE", "dog", "--target", "margin"], "compares prompts, but there is only one"),
    (["explain", "SCENE", "dog", "--against", "cat"], "--against serves the targets margin and softmax"),
    (["explain", "SCENE", "dog", "--param", "foo=1"], "has no parameter 'foo'; it has start_block, text_start_block"),
    (["explain", "SCENE", "dog", "--param", "start_block"], "should be NAME=VALUE, such as start_block=-1"),
    (["explain", "SCENE", "dog", "--param", "start_block=x"], "start_block is 'x', but it must be a whole number"),
    (["explain", "SCENE", "dog", "--param", "start_block=99"], "start_block is 99, but it must be"),
    (["explain", "SCENE", "dog", "--param", "start_block=1", "--param", "start_block=2"], "is given twice"),
    (["explain", "SCENE", "dog", "--seed", "x"], "'--seed'"),
    (["explain", "SCENE", "dog", "--device", "toaster"], "There is no device 'toaster' here"),
    (["explain", "SCENE", "dog", "--contrast-limits", "5", "1"], "the first must be below the second"),
    (["explain", "SCENE", "dog", "--contrast-limits", "5"], "'--contrast-limits'"),
    (["explain", "SCENE", "dog", "--threshold", "0.5"], "--threshold serves --ground-truth or --out"),
    (["explain", "SCENE", "dog", "--threshold", "2", "--out", "x"], "--threshold is '2', but it must be"),
    (["explain", "SCENE", "dog", "--ground-truth", "none.json"], "There is no file 'none.json'."),
    (["explain", "SCENE", "dog", "--out", "SCENE"], "cannot be made"),
    (["explain", "SCENE", "word " * 40], "has 42 tokens, but this model reads 32"),
    (["methods", "foo"], "There is no method 'foo'"),
    (["gui", "none.png"], "There is no file 'none.png'."),
    (["bogus"], "No such command 'bogus'"),
    (["demo", "--headless", "--out", "SCENE"], "cannot be made"),
]


@pytest.mark.parametrize(("words", "sentence"), MISTAKES, ids=[" ".join(words)[:60] for words, _ in MISTAKES])
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(
    vlexplain: Command, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"SCENE": str(scene / "scene.png"), "BOXES": str(scene / "boxes.json")}
    ended = vlexplain(*(places.get(word, word) for word in words))
    assert ended.code == 2
    assert sentence in ended.err
    assert ended.err.count("\n") == 1 and ended.err.startswith("vlexplain: ")
    assert ended.out == ""
    assert not list(tmp_path.iterdir())


def test_a_process_keeps_the_same_promise(scene: Path) -> None:
    ended = process("explain", scene / "scene.png", "dog", "--model", "nothing/here", "--json")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1 and "is not on this machine" in ended.stderr


def test_an_unexpected_error_is_one_line_and_debug_shows_more(
    vlexplain: Command, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(Run, "step", broken)
    words = ("explain", scene / "scene.png", "a dog")
    ended = vlexplain(*words)
    assert ended.code == 1
    assert ended.err.startswith("vlexplain: Explaining failed unexpectedly (RuntimeError: first line);")
    assert str(for_people(log_file())) in ended.err and ended.err.endswith(". --debug shows where.\n")
    assert "broken" in log_file().read_text(encoding="utf-8")
    with pytest.raises(Unexpected) as told:
        main([*map(str, words), "--debug"])
    assert isinstance(told.value.__cause__, RuntimeError) and "second line" in str(told.value.__cause__)


def test_running_out_of_memory_is_told(vlexplain: Command, scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Run, "step", full)
    ended = vlexplain("explain", scene / "scene.png", "a dog")
    assert ended.code == 1 and ended.err.startswith("vlexplain: Memory ran out")


def test_the_interrupt_key_cancels(
    vlexplain: Command, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, calls = Run.step, iter(range(100))

    def interrupted(self: Run, done: float, what: str) -> None:
        if next(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        step(self, done, what)

    monkeypatch.setattr(Run, "step", interrupted)
    ended = vlexplain("explain", scene / "scene.png", "a dog", "--out", tmp_path)
    assert ended.code == 130
    assert ended.out == "" and ended.err == "vlexplain: Cancelled.\n"
    assert not list(tmp_path.iterdir())


def test_a_reader_that_leaves_is_no_accident() -> None:
    for words in (["methods"], ["models", "--json"], ["explain", "--help"]):
        command = [sys.executable, "-m", "napari_vlexplain.cli", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as running:
            assert running.stdout is not None and running.stderr is not None
            running.stdout.close()
            assert running.stderr.read() == b""
        assert running.returncode == 0


def test_a_terminal_that_knows_only_ascii_is_no_accident() -> None:
    ended = process("methods", "m2ib", env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert ended.returncode == 0 and "beta" in ended.stdout


# Pieces.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", ("value", 0.5)),
        ("0", ("value", 0)),
        ("q0.75", ("quantile", 0.75)),
        ("OTSU", ("otsu", 0.5)),
        ("Q1", ("quantile", 1)),
    ],
)
def test_thresholds(text: str, expected: tuple[str, float]) -> None:
    assert threshold_of_text(text) == expected


@pytest.mark.parametrize("text", ["", "q", "-0.1", "1.1", "q75", "nan", "inf", "half", "0,5"])
def test_wrong_thresholds(text: str) -> None:
    with pytest.raises(VLExplainError, match=r"must be a value in 0 to 1, a quantile such as q0.75, or otsu"):
        threshold_of_text(text)


def test_parameters_take_the_methods_types() -> None:
    found = parameters_of("m2ib", ["beta=1", "steps=3", "final-refresh=yes", "layer=auto", "kl_form=reference"])
    assert found == {"beta": 1.0, "steps": 3, "final_refresh": True, "layer": None, "kl_form": "reference"}
    assert isinstance(found["beta"], float)


def test_json_knows_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"a": [float("nan"), (1.5, float("inf"))], 2: None})
    assert json.loads(capsys.readouterr().out) == {"a": [None, [1.5, None]], "2": None}


# The demonstration and the window.


def test_demo_without_a_window(vlexplain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_vlexplain.cli import demo

    quick = ("relevance", "raw_attention")
    monkeypatch.setattr(demo, "METHODS", quick)  # M2IB alone takes longer than all other tests here
    monkeypatch.setenv("HEADLESS", "1")
    monkeypatch.setenv("DISPLAY", ":99")
    ended = vlexplain("demo", "--out", tmp_path / "demo")
    assert ended.code == 0 and ended.err == ""
    for word in ("Sticker scene", "Phantom radiograph", *quick, "never for clinical use", str(tmp_path / "demo")):
        assert word in ended.out
    pictures = {item.name for item in (tmp_path / "demo").iterdir()}
    assert pictures == {
        f"{name}{method}.png"
        for name in ("sticker-scene", "phantom-radiograph")
        for method in ("", "_relevance", "_raw-attention")
    }
    rows = [line.split() for line in ended.out.splitlines()]
    numbers = [[float(word.rstrip("*")) for word in row[1:4]] for row in rows if row and row[0] in quick]
    relevance, raw = numbers[:2]
    assert relevance[0] == 1 and relevance[2] > raw[2]


def test_the_demo_covers_every_method_of_the_main_job() -> None:
    from napari_vlexplain.cli.demo import METHODS

    assert set(METHODS) == {"relevance", "m2ib", "attention_grad_cam", "raw_attention", "rollout"}
    assert set(METHODS) <= {info.name for info in list_methods()}


def test_gui_without_a_display(vlexplain: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert not has_display()
    ended = vlexplain("gui")
    assert ended.code == 2 and ended.err.startswith("vlexplain: There is no display")


def test_gui_where_qt_cannot_start(vlexplain: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "nonsense")
    ended = vlexplain("gui")
    assert ended.code == 2 and ended.err.startswith("vlexplain: Qt cannot open a window here")
    assert ended.err.count("\n") == 1


def test_gui_without_napari(vlexplain: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setitem(sys.modules, "napari", None)
    ended = vlexplain("gui")
    assert ended.code == 2 and "pip install 'napari-vlexplain[pyqt5]'" in ended.err


def test_demo_goes_on_where_no_window_opens(
    vlexplain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_vlexplain.cli import demo

    shown: list[Path] = []
    monkeypatch.setattr(demo, "tables_and_pictures", shown.append)
    monkeypatch.delenv("HEADLESS", raising=False)
    monkeypatch.setenv("QT_QPA_PLATFORM", "nonsense")
    ended = vlexplain("demo", "--out", tmp_path)
    assert ended.code == 0 and shown == [tmp_path]
    assert "Going on without a window" in ended.err


@pytest.mark.gl
def test_gui_and_demo_open_the_window(
    vlexplain: Command, qtbot: Any, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real windows; only the wait for the person to close them is left out."""
    import napari

    folder = napari_vlexplain.explain(scene / "scene.png", "a dog").save(tmp_path / "dog")
    monkeypatch.delenv("HEADLESS", raising=False)
    shown: list[list[tuple[str, tuple[int, ...]]]] = []

    def kinds(viewer: Any) -> list[str]:
        return [layer.metadata.get("napari_vlexplain", {}).get("kind", "") for layer in viewer.layers]

    def person() -> None:
        viewer: Any = napari.current_viewer()
        qtbot.waitUntil(lambda: "heatmap" in kinds(viewer), timeout=120_000)
        shown.append([(layer.name, layer.data.shape) for layer in viewer.layers])
        viewer.close()

    monkeypatch.setattr(napari, "run", person)
    ended = vlexplain("gui", scene / "scene.png", folder)
    assert ended.code == 0 and ended.err == ""
    assert shown[0] == [("scene", (224, 224, 3)), ("scene | relevance | a dog", (224, 224))]
    ended = vlexplain("demo")
    assert ended.code == 0 and ended.err == ""
    assert ("Sticker scene", (672, 672, 3)) in shown[1]
