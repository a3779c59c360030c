"""Which files of a folder are its weights, in which forms they are taken, and what is refused by name."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_clip
import tiny_models
import torch
from changing_models import classifier, folder, local_dir, pickled, sharded, timm_folder
from safetensors.torch import load_file, save_file
from torch import nn

from napari_vlexplain import explain
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.models import load_model
from napari_vlexplain.models.files import torchscript
from napari_vlexplain.models.files.weights import read_state_dict
from napari_vlexplain.models.libraries.from_transformers import pretrained

INDEX = "model.safetensors.index.json"


def score(name: Any) -> float:
    return explain(tiny_clip.picture(), "a cat", str(name), "patch_similarity", device="cpu").score


def refused(name: Any) -> str:
    with pytest.raises(VLExplainError) as caught:
        load_model(str(name), device="cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rewritten(place: Path, **changes: str) -> Path:
    """With other names of files in the index."""
    index = json.loads((place / INDEX).read_text())
    names = index["weight_map"]
    index["weight_map"] = {key: changes.get("name", name) for key, name in names.items()}
    (place / INDEX).write_text(json.dumps(index))
    return place


# --- the index ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [pickled, sharded])
def test_other_forms_give_the_same_numbers(place: Callable[[Path], str], tmp_path: Path) -> None:
    (tmp_path / "n").mkdir()
    assert score(place(tmp_path)) == score(folder(tmp_path / "n"))


def test_shards_of_pickles(tmp_path: Path) -> None:
    place = Path(folder(tmp_path))
    expected, tensors = score(place), load_file(place / "model.safetensors")
    (place / "model.safetensors").unlink()
    names, files = sorted(tensors), ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin")
    for half, file in enumerate(files):
        torch.save({name: tensors[name] for name in names[half::2]}, place / file)
    weights = {name: files[number % 2] for number, name in enumerate(names)}
    (place / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weights}))
    assert score(place) == expected


@pytest.mark.parametrize("name", ["../other/model.safetensors", "/etc/passwd", "a/../../x", "..\\x", "C:\\x", "", " "])
def test_an_index_names_no_file_outside(name: str, tmp_path: Path) -> None:
    tiny_clip.save(tmp_path / "other", depth=2)
    assert "outside its folder" in refused(rewritten(Path(sharded(tmp_path)), name=name))


def test_nor_by_a_link(tmp_path: Path) -> None:
    place, shard = Path(sharded(tmp_path)), "model-00001-of-00002.safetensors"
    (place / shard).rename(tmp_path / "away")
    (place / shard).symlink_to(tmp_path / "away")
    assert "a link that leads out" in refused(place)
    (place / shard).unlink()
    (place / "blob").write_bytes((tmp_path / "away").read_bytes())
    (place / shard).symlink_to("blob")
    load_model(str(place), device="cpu")


def test_but_the_hubs_cache_keeps_shards_as_blobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "models--someone--tiny"
    place = Path(sharded(tmp_path))
    (cache / "blobs").mkdir(parents=True)
    (cache / "snapshots" / "aa").mkdir(parents=True)
    for number, file in enumerate(sorted(place.iterdir())):
        file.rename(cache / "blobs" / str(number))
        (cache / "snapshots" / "aa" / file.name).symlink_to(f"../../blobs/{number}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    load_model("someone/tiny", device="cpu")


@pytest.mark.parametrize("content", ["{}", "[]", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', "[" * 100_000])
def test_an_index_that_is_none(content: str, tmp_path: Path) -> None:
    place = Path(sharded(tmp_path))
    (place / INDEX).write_text(content)
    assert INDEX in refused(place)


def test_shards_that_contradict_each_other(tmp_path: Path) -> None:
    place = Path(sharded(tmp_path))
    first, second = (place / f"model-0000{n}-of-00002.safetensors" for n in (1, 2))
    before, name = score(place), next(iter(load_file(first)))
    for factor in (1, 2):
        tensors = {**load_file(second), name: load_file(first)[name] * factor}
        save_file(tensors, second, metadata={"format": "pt"})
        if factor == 1:
            assert score(place) == before
    assert f"hold {name}, each in its own version" in refused(place)


def test_a_shard_that_is_missing(tmp_path: Path) -> None:
    place = Path(sharded(tmp_path))
    (place / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors, which is missing" in refused(place)


def test_the_configuration_may_name_the_weights(tmp_path: Path) -> None:
    place = Path(folder(tmp_path))
    tiny_clip.save(tmp_path / "n", depth=2, seed=1)
    (place / "other.safetensors").write_bytes((tmp_path / "n" / "model.safetensors").read_bytes())
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, "transformers_weights": "other.safetensors"}))
    assert score(place) == score(tmp_path / "n")
    (place / "config.json").write_text(json.dumps({**config, "transformers_weights": "../n/model.safetensors"}))
    assert "outside its folder" in refused(place)


def test_of_several_files_the_librarys_own_choice_is_taken(tmp_path: Path) -> None:
    import timm
    from transformers import CLIPModel, ViTForImageClassification

    for build, kind in ((folder, CLIPModel), (classifier, ViTForImageClassification)):
        (tmp_path / kind.__name__).mkdir()
        place = Path(build(tmp_path / kind.__name__))
        tensors = load_file(place / "model.safetensors")
        torch.save({name: value + 1 for name, value in tensors.items()}, place / "pytorch_model.bin")
        own = pretrained(kind.__name__, place, torch.device("cpu")).state_dict()
        theirs = kind.from_pretrained(place).state_dict()
        assert all(torch.equal(own[name], theirs[name]) for name in theirs)
    (tmp_path / "timm").mkdir()
    place = Path(timm_folder(tmp_path / "timm"))
    tensors = load_file(place / "model.safetensors")
    save_file({name: value + 1 for name, value in tensors.items()}, place / "open_clip_model.safetensors")
    theirs = timm.create_model(f"local-dir:{place}", pretrained=True).state_dict()
    assert torch.equal(theirs["head.weight"], load_model(str(place), device="cpu").text.embed(torch.arange(7))[:, :-1])


# --- prefixes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "model._orig_mod.", "_orig_mod.module.model."])
def test_prefixes_of_training_are_taken_off(prefix: str, tmp_path: Path) -> None:
    for build in (folder, timm_folder, local_dir):
        root = tmp_path / build.__name__
        root.mkdir()
        name = build(root)
        before = load_model(name, device="cpu").image.blocks[0].query.weight
        (file,) = (root / "m").glob("*.safetensors")
        named = {f"{prefix}{key}": value for key, value in load_file(file).items()}
        save_file(named, file, metadata={"format": "pt"})
        assert torch.equal(load_model(name, device="cpu").image.blocks[0].query.weight, before)
    model = tiny_models.openai_state_dict(tmp_path / "plain.pt")
    named = {f"{prefix}{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": named, "epoch": 3}, tmp_path / "epoch.pt")
    assert score(tmp_path / "epoch.pt") == score(tmp_path / "plain.pt")


def test_a_prefix_of_some_names_stays(tmp_path: Path) -> None:
    place = Path(folder(tmp_path))
    tensors = load_file(place / "model.safetensors")
    named = {f"model.{key}" if number else key: value for number, (key, value) in enumerate(tensors.items())}
    save_file(named, place / "model.safetensors", metadata={"format": "pt"})
    assert "incomplete" in refused(place)


def test_what_training_keeps_beside_the_model_is_left_out(tmp_path: Path) -> None:
    place = Path(folder(tmp_path))
    expected, tensors = score(place), load_file(place / "model.safetensors")
    (place / "model.safetensors").unlink()
    kept = {**{f"model.{key}": value for key, value in tensors.items()}, "loss.weight": torch.ones(2)}
    torch.save({"state_dict": kept, "epoch": 3}, place / "pytorch_model.bin")
    assert score(place) == expected
    kept |= {f"module.{key}": value + 1 for key, value in tensors.items()}  # a teacher: which one is meant?
    torch.save({"state_dict": kept}, place / "pytorch_model.bin")
    assert "incomplete" in refused(place)
    model = tiny_models.openai_state_dict(tmp_path / "plain.pt")
    named = {f"model.{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": {**named, "loss.weight": torch.ones(2)}}, tmp_path / "epoch.pt")
    assert score(tmp_path / "epoch.pt") == score(tmp_path / "plain.pt")


def test_weights_of_another_depth_or_quantised(tmp_path: Path) -> None:
    place = Path(folder(tmp_path))
    config = json.loads((place / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 1
    (place / "config.json").write_text(json.dumps(config))
    assert "hold vision_model.encoder.layers.1." in refused(place)
    tensors = load_file(place / "model.safetensors")
    tensors["visual_projection.weight"] = tensors["visual_projection.weight"].to(torch.int8)
    save_file(tensors, place / "model.safetensors", metadata={"format": "pt"})
    assert "visual_projection.weight quantised (torch.int8)" in refused(place)


# --- TorchScript ----------------------------------------------------------------------------------------------------


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3, bias=False).half()])
        self.register_buffer("scale", torch.arange(6.0).reshape(2, 3).T)
        self.sizes = [1, 2]
        self.name = "inner"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers[0](self.norm(x)) @ self.scale


def test_an_archive_holds_what_torch_reads_from_it(tmp_path: Path) -> None:
    torch.jit.script(Inner().eval()).save(str(tmp_path / "archive.pt"))
    expected = torch.jit.load(str(tmp_path / "archive.pt")).state_dict()
    found = read_state_dict(tmp_path / "archive.pt")
    assert found.keys() == expected.keys() and len(found) == 9
    for name, value in expected.items():
        assert torch.equal(found[name], value) and found[name].dtype == value.dtype


class Archive(nn.Module):
    """OpenAI's: half precision, and three numbers beside the weights."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for name, child in model.named_children():
            setattr(self, name, child)
        for name, parameter in model.named_parameters(recurse=False):
            setattr(self, name, parameter)
        for name, value in (("input_resolution", 32), ("context_length", 20), ("vocab_size", 49408)):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.text_projection


def test_openais_archives_give_their_weights(tmp_path: Path) -> None:
    model = tiny_models.openai_state_dict(tmp_path / "plain.pt")
    traced = torch.jit.trace(Archive(model), torch.zeros(1, 64), check_trace=False)
    traced.save(str(tmp_path / "archive.pt"))
    assert score(tmp_path / "archive.pt") == score(tmp_path / "plain.pt")


def test_an_archive_runs_nothing(tmp_path: Path) -> None:
    torch.jit.script(Inner().eval()).save(str(tmp_path / "archive.pt"))

    class Trap:
        def __reduce__(self) -> Any:
            return open, (str(tmp_path / "sprung"), "w")

    with zipfile.ZipFile(tmp_path / "archive.pt") as old, zipfile.ZipFile(tmp_path / "trap.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, pickle.dumps(Trap()) if name.endswith("/data.pkl") else old.read(name))
    message = refused(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()
    assert "cannot be read without running it" in message and "torch.jit.load" in message


@pytest.mark.parametrize("names", [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("torch._utils", "x")])
def test_only_tensors_and_plain_objects_unpickle(names: tuple[str, str]) -> None:
    reader = torchscript._Unpickler(io.BytesIO(b""), None, "")  # type: ignore[arg-type]
    with pytest.raises(pickle.UnpicklingError, match="it names"):
        reader.find_class(*names)


# --- LoRA -----------------------------------------------------------------------------------------------------------

LORA: dict[str, Any] = {"r": 3, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj", "fc1"]}
TAKEN = {
    "plain": {},
    "rank-stabilised": {"use_rslora": True},
    "patterns": {"rank_pattern": {"layers.1.self_attn.q_proj": 5}, "alpha_pattern": {"v_proj": 11}},
    "biases": {"bias": "all"},
    "whole layers": {"modules_to_save": ["visual_projection"]},
    "embeddings and convolutions": {"target_modules": ["token_embedding", "patch_embedding", "q_proj"]},
    "fan in, fan out": {"fan_in_fan_out": True},
}
REFUSED = {
    "use_dora": {"use_dora": True},
    "lora_bias": {"lora_bias": True},
    "'pissa'": {"init_lora_weights": "pissa"},
}


def trained(place: Path, **options: Any) -> Any:
    """What ``peft`` leaves beside the base, and the base with it merged by ``peft`` itself."""
    from peft import LoraConfig, get_peft_model
    from transformers import CLIPModel

    tiny_clip.save(place, depth=2)
    model = get_peft_model(CLIPModel.from_pretrained(place), LoraConfig(**{**LORA, **options}))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in (p for p in model.parameters() if p.requires_grad):
            parameter += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(place)
    return model.merge_and_unload()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", TAKEN.values(), ids=TAKEN)
def test_a_lora_is_merged_as_peft_merges_it(options: dict[str, Any], tmp_path: Path) -> None:
    expected = trained(tmp_path / "m", **options).state_dict()
    found = pretrained("CLIPModel", tmp_path / "m", torch.device("cpu")).state_dict()
    base = load_file(tmp_path / "m" / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-6)
    assert sum(not torch.equal(found[name], value) for name, value in base.items()) >= 4


def test_an_adapter_may_name_layers_as_the_file_or_as_the_library_does(tmp_path: Path) -> None:
    """Later versions of the library call a ViT's layers otherwise than its files; W' = W + alpha / r B A either way."""
    weight = "vit.encoder.layer.1.attention.attention.query"
    first, second = torch.randn(2, 32), torch.randn(32, 2)
    for number, layer in enumerate((weight, "vit.layers.1.attention.q_proj")):
        (tmp_path / str(number)).mkdir()
        place = Path(classifier(tmp_path / str(number)))
        before = load_file(place / "model.safetensors")[f"{weight}.weight"]
        (place / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 6}))
        named = {f"base_model.model.{layer}.lora_{n}.weight": matrix for n, matrix in (("A", first), ("B", second))}
        save_file(named, place / "adapter_model.safetensors")
        block = load_model(str(place), device="cpu").image.blocks[1]
        torch.testing.assert_close(block.query.weight, before + 3 * second @ first)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_merged_is_refused_by_name(name: str, tmp_path: Path) -> None:
    trained(tmp_path / "m", **REFUSED[name])
    assert name in refused(tmp_path / "m") and "merge_and_unload" in refused(tmp_path / "m")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"peft_type": "IA3"}, "'IA3'"),
        ({"something_new": 3}, "something_new"),
        ({"r": 4}, "in rank"),
        ({"r": 0}, "rank 0"),
        ({"lora_alpha": "x"}, "rank and alpha"),
        ({"lora_alpha": None}, "rank and alpha"),
        ({"rank_pattern": {"(": 2}}, "rank and alpha"),
    ],
)
def test_configurations_that_do_not_fit(config: dict[str, Any], told: str, tmp_path: Path) -> None:
    from changing_models import adapted, json_file

    place = adapted(tmp_path)
    json_file("m/adapter_config.json", **config)(tmp_path)
    assert told in refused(place)


def test_adapters_that_are_half_foreign_or_beside_other_models(tmp_path: Path) -> None:
    from changing_models import adapted

    for build, told in ((timm_folder, "a model of timm"), (local_dir, "a model of open_clip")):
        (tmp_path / build.__name__).mkdir()
        name = build(tmp_path / build.__name__)
        place = tmp_path / build.__name__ / "m"
        (place / "adapter_config.json").write_text('{"peft_type": "LORA"}')
        assert "no adapter_model.safetensors" in refused(name)
        save_file({"x": torch.zeros(1)}, place / "adapter_model.safetensors")
        assert told in refused(name)
    place = Path(adapted(tmp_path / "lora"))
    (place / "adapter_config.json").rename(tmp_path / "config")
    assert "no adapter_config.json" in refused(place)
    (tmp_path / "config").rename(place / "adapter_config.json")
    for key in ("base_model.model.nowhere.lora_A.weight", "base_model.model.visual_projection.lora_magnitude_vector"):
        save_file({key: torch.zeros(2, 2)}, place / "adapter_model.safetensors")
        assert key.split(".")[2] in refused(place)


def test_an_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    from changing_models import adapted, json_file

    place = adapted(tmp_path)
    tiny_clip.save(tmp_path / "base", depth=2, seed=0)
    json_file("m/adapter_config.json", base_model_name_or_path=str(tmp_path / "base"))(tmp_path)
    load_model(place, device="cpu")
    tiny_clip.save(tmp_path / "base", depth=2, seed=5)
    json_file("m/adapter_config.json", revision="x")(tmp_path)
    assert "not those beside the adapter" in refused(place)


def test_an_adapter_without_its_base_says_what_to_do(tmp_path: Path) -> None:
    from changing_models import adapted

    place = Path(adapted(tmp_path))
    for file in [file for file in place.iterdir() if not file.name.startswith("adapter")]:
        file.unlink()
    assert "the base's files beside" in refused(place)


def test_an_adapter_alone_is_merged_into_the_base_that_it_names(tmp_path: Path) -> None:
    from changing_models import adapted, json_file, tensors

    (tmp_path / "both").mkdir()
    expected = score(adapted(tmp_path / "both"))
    base, alone = tmp_path / "both" / "base", tmp_path / "both" / "alone"
    alone.mkdir()
    for file in (tmp_path / "both" / "m").glob("adapter*"):
        file.rename(alone / file.name)
    (tmp_path / "both" / "m").rename(base)
    json_file("adapter_config.json", base_model_name_or_path=str(base))(alone)
    first = load_model(str(alone), device="cpu")
    assert score(alone) == expected != score(base)
    tensors("model.safetensors")(base)
    assert load_model(str(alone), device="cpu").weights_hash() != first.weights_hash(), "the base is part of it"
    (alone / "tokenizer.json").write_text("{}")
    assert "a tokenizer.json that is not that of its base" in refused(alone)
    (alone / "tokenizer.json").unlink()
    (tmp_path / "timm").mkdir()
    json_file("adapter_config.json", base_model_name_or_path=timm_folder(tmp_path / "timm"))(alone)
    assert "for which none is merged" in refused(alone)


def test_matrices_inside_a_checkpoint_are_refused(tmp_path: Path) -> None:
    model = tiny_models.openai_state_dict(tmp_path / "plain.pt")
    torch.save({**model.state_dict(), "visual.proj.lora_A.weight": torch.zeros(2, 2)}, tmp_path / "lora.pt")
    assert "not merged" in refused(tmp_path / "lora.pt")
