"""Models by name: what is refused, and how it is said. Parity of the towers is in test_towers.py."""

import json
import pickle
import shutil
import subprocess
import sys

import pytest
import torch

from napari_vlexplain import list_models, load_model
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.models.zoo import RESOURCES

MINI = RESOURCES / "models" / "mini"


@pytest.fixture
def folder(tmp_path):
    """A copy of the embedded model that a test may damage."""
    return shutil.copytree(MINI, tmp_path / "model")


def refused(name, **options) -> str:
    with pytest.raises(VLExplainError) as caught:
        load_model(str(name), **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_embedded_model_is_first_and_says_what_it_is_not_for():
    first = list_models()[0]
    assert first.name == "mini"
    assert first.local
    assert "never for clinical use" in first.warning


def test_a_loaded_model_is_kept():
    assert load_model("mini", device="cpu") is load_model("mini", device="cpu")


def test_nothing_of_a_loaded_model_is_trainable():
    model = load_model("mini", device="cpu")
    block = model.image.blocks[0]
    tensors = [block.query.weight, block.out.bias, block.norm1.weight, block.mlp.first.weight]
    assert not any(t.requires_grad for t in tensors)


def test_unknown_name():
    assert "did you mean mini?" in refused("minny")
    assert "choose one of mini" in refused("a model of mine")


def test_unknown_device():
    assert "no device 'abacus'" in refused("mini", device="abacus")


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_half_copied_folder(folder, file):
    (folder / file).unlink()
    message = refused(folder)
    assert "model.safetensors" in message or file in message


def test_missing_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert str(folder) in refused(folder)


def test_truncated_weights(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1_000_000])
    assert "is damaged" in refused(folder)


def test_weights_of_another_model(folder):
    """Missing tensors would be filled at random by the library; that must never pass as a model."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    dropped = {k: v for k, v in tensors.items() if "vision_model.encoder.layers.3" not in k}
    save_file(dropped, folder / "model.safetensors", metadata={"format": "pt"})
    assert "incomplete" in refused(folder)


def test_another_architecture(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    assert "'bert'" in refused(folder)


def test_config_that_is_not_json(folder):
    (folder / "config.json").write_text("{")
    assert "config.json cannot be read" in refused(folder)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_that_runs_code_is_refused_as_transformers_weights(folder, tmp_path):
    sprung = tmp_path / "sprung"
    (folder / "model.safetensors").unlink()
    with (folder / "pytorch_model.bin").open("wb") as stream:
        pickle.dump({"logit_scale": Trap(sprung)}, stream)
    refused(folder)
    assert not sprung.exists()


@pytest.mark.parametrize("save", [torch.save, lambda data, file: file.write_bytes(pickle.dumps(data))])
def test_a_pickle_that_runs_code_is_refused_as_open_clip_checkpoint(tmp_path, save):
    sprung, checkpoint = tmp_path / "sprung", tmp_path / "weights.pt"
    save({"state_dict": {"logit_scale": Trap(sprung)}}, checkpoint)
    assert "cannot be loaded" in refused(f"open_clip:ViT-B-32-quickgelu:{checkpoint}")
    assert not sprung.exists()


def test_open_clip_names():
    assert "no architecture 'ViT-Z-99'" in refused("open_clip:ViT-Z-99:openai")
    assert "names no weights" in refused("open_clip:ViT-B-32")
    assert "neither a file nor a tag" in refused("open_clip:ViT-B-32:no/such/weights.pt")


def test_nothing_is_downloaded_unasked():
    message = refused("openai/clip-vit-base-patch32")
    assert "605 MB" in message
    assert "licence MIT" in message
    assert "download=True" in message
    assert "allow the download" in refused("open_clip:ViT-B-32:laion2b_s34b_b79k")


def test_openai_weights_get_their_activation():
    """open_clip builds plain GELU for them unless told otherwise, and every number is silently wrong."""
    from open_clip import get_pretrained_cfg

    assert get_pretrained_cfg("ViT-B-32", "openai")["quick_gelu"]


def test_importing_and_listing_needs_no_torch():
    code = (
        "import sys, napari_vlexplain as v; v.list_models(); v.list_methods(); "
        "sys.exit('torch' in sys.modules or 'qtpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
