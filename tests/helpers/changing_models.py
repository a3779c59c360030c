"""Small models in every layout that is read, and for each of their files a change of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiny_clip
import tiny_models
import torch
from safetensors.torch import load_file, save_file


@dataclass(frozen=True)
class Kind:
    """A model and the change of one of its files; ``build`` makes it in an empty folder and gives its name."""

    build: Callable[[Path], str]
    change: Callable[[Path], None]
    prompts: tuple[str, ...] = ("a cat", "a dog")


# --- models -------------------------------------------------------------------------------------------------------


def folder(root: Path) -> str:
    return str(tiny_clip.save(root / "m", depth=2))


def sharded(root: Path) -> str:
    """Two shards and their index, as ``save_pretrained`` leaves them."""
    place = Path(folder(root))
    tensors = load_file(place / "model.safetensors")
    (place / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, some in parts.items():
        save_file({name: tensors[name] for name in some}, place / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, some in parts.items() for name in some}}
    (place / "model.safetensors.index.json").write_text(json.dumps(index))
    return str(place)


def pickled(root: Path) -> str:
    place = Path(folder(root))
    torch.save(load_file(place / "model.safetensors"), place / "pytorch_model.bin")
    (place / "model.safetensors").unlink()
    return str(place)


def pieces(root: Path) -> str:
    """A tokenizer in the two files of GPT's byte pairs."""
    place = Path(folder(root))
    whole = json.loads((place / "tokenizer.json").read_text())["model"]
    (place / "tokenizer.json").unlink()
    (place / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    ends = {"<|startoftext|>": 2046, "<|endoftext|>": 2047}
    (place / "vocab.json").write_text(json.dumps({**whole["vocab"], **ends}))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in whole["merges"]]
    (place / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return str(place)


def adapted(root: Path) -> str:
    """A LoRA beside its base."""
    place = Path(folder(root))
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "bias": "none"}
    (place / "adapter_config.json").write_text(json.dumps(config))
    key = "base_model.model.vision_model.encoder.layers.1.self_attn.q_proj.lora_{}.weight"
    matrices = {key.format("A"): torch.ones(2, 32), key.format("B"): torch.ones(32, 2)}
    save_file(matrices, place / "adapter_model.safetensors")
    return str(place)


def linked(root: Path) -> str:
    """``latest`` leads to one of two folders."""
    tiny_clip.save(root / "epoch-1", depth=2, seed=0)
    tiny_clip.save(root / "epoch-2", depth=2, seed=1)
    (root / "latest").symlink_to("epoch-1")
    return str(root / "latest")


def hub(root: Path) -> str:
    """The layout of the hub's cache: a snapshot of links to blobs."""
    place = root / "hub" / "models--someone--tiny"
    made = tiny_clip.save(root / "made", depth=2)
    (place / "blobs").mkdir(parents=True)
    (place / "snapshots" / "aa").mkdir(parents=True)
    for number, file in enumerate(sorted(made.iterdir())):
        shutil.move(file, place / "blobs" / str(number))
        (place / "snapshots" / "aa" / file.name).symlink_to(f"../../blobs/{number}")
    return "someone/tiny"


def local_dir(root: Path) -> str:
    (root / "m").mkdir()
    model, config = tiny_models.open_clip_model(tiny_models.VIT)
    tiny_models.open_clip_folder(root / "m", model, config)
    return f"open_clip:local-dir:{root / 'm'}"


def plain_file(root: Path, scheme: str = "") -> str:
    tiny_models.openai_state_dict(root / "epoch.pt")
    return f"{scheme}{root / 'epoch.pt'}"


def open_clip_file(root: Path) -> str:
    import open_clip

    config = {"embed_dim": 24, "vision_cfg": tiny_models.VIT, "text_cfg": tiny_models.CLIP_TEXT}
    (root / "tiny-vit.json").write_text(json.dumps(config))
    open_clip.add_model_config(root / "tiny-vit.json")
    torch.manual_seed(0)
    torch.save(open_clip.create_model("tiny-vit").state_dict(), root / "epoch.pt")
    return f"open_clip:tiny-vit:{root / 'epoch.pt'}"


def timm_folder(root: Path) -> str:
    (root / "m").mkdir()
    tiny_models.timm_classifier(root / "m")
    return str(root / "m")


def timm_file(root: Path) -> str:
    timm_folder(root)
    return f"timm:test_vit:{root / 'm' / 'model.safetensors'}"


def classifier(root: Path) -> str:
    (root / "m").mkdir()
    tiny_models.classifier(root / "m")
    return str(root / "m")


# --- changes ------------------------------------------------------------------------------------------------------


def json_file(name: str, **values: Any) -> Callable[[Path], None]:
    """A value that no library minds, in a file that may have to be made."""

    def change(root: Path) -> None:
        file = root / name
        data = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**data, **(values or {"_comment": "changed"})}))

    return change


def tensors(name: str) -> Callable[[Path], None]:
    """One number of one tensor, written over the file in place; size and time of change stay as they were."""

    def change(root: Path) -> None:
        file = root / name
        before = file.stat()
        pickles = file.suffix != ".safetensors"
        data = torch.load(file, weights_only=True) if pickles else load_file(file)
        next(value for value in data.values() if value.is_floating_point() and value.numel() > 4).view(-1)[0] += 1
        if pickles:
            torch.save(data, file)
        else:
            save_file(data, file, metadata={"format": "pt"})
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    return change


def other_merges(root: Path) -> None:
    file = root / "m" / "merges.txt"
    file.write_text(file.read_text().replace("#version: 0.2", "#version: 0.3"))


def other_vocabulary(root: Path) -> None:
    file = root / "m" / "vocab.json"
    file.write_text(json.dumps(json.loads(file.read_text()), indent=1))


def other_target(root: Path) -> None:
    (root / "latest").unlink()
    (root / "latest").symlink_to("epoch-2")


def other_blob(root: Path) -> None:
    place = root / "hub" / "models--someone--tiny"
    link = place / "snapshots" / "aa" / "model.safetensors"
    data = load_file(link)
    next(iter(data.values())).view(-1)[0] += 1
    save_file(data, place / "blobs" / "new", metadata={"format": "pt"})
    link.unlink()
    link.symlink_to("../../blobs/new")


def safetensors_too(root: Path) -> None:
    other = load_file(tiny_clip.save(root / "n", depth=2, seed=1) / "model.safetensors")
    save_file(other, root / "m" / "model.safetensors", metadata={"format": "pt"})


def lora_appears(root: Path) -> None:
    shutil.copytree(adapted(root / "n"), root / "m", dirs_exist_ok=True)


def other_labels(root: Path) -> None:
    json_file("m/config.json", id2label={str(n): f"class {n}" for n in range(5)})(root)


def new_snapshot(root: Path) -> None:
    place = root / "hub" / "models--someone--tiny" / "snapshots"
    tiny_clip.save(place / "bb", depth=2, seed=1)


KINDS = {
    "config": Kind(folder, json_file("m/config.json")),
    "weights": Kind(folder, tensors("m/model.safetensors")),
    "weights in a pickle": Kind(pickled, tensors("m/pytorch_model.bin")),
    "safetensors beside the pickle": Kind(pickled, safetensors_too),
    "first shard": Kind(sharded, tensors("m/model-00001-of-00002.safetensors")),
    "last shard": Kind(sharded, tensors("m/model-00002-of-00002.safetensors")),
    "index": Kind(sharded, json_file("m/model.safetensors.index.json")),
    "tokenizer": Kind(folder, json_file("m/tokenizer.json", version="1.0")),
    "tokenizer's configuration": Kind(folder, json_file("m/tokenizer_config.json")),
    "special tokens": Kind(folder, json_file("m/special_tokens_map.json")),
    "added tokens": Kind(folder, json_file("m/added_tokens.json", zibblewort=2048)),
    "vocabulary": Kind(pieces, other_vocabulary),
    "merges": Kind(pieces, other_merges),
    "preprocessor": Kind(folder, json_file("m/preprocessor_config.json", image_std=[0.3, 0.3, 0.3])),
    "processor": Kind(folder, json_file("m/processor_config.json", processor_class="CLIPProcessor")),
    "LoRA appears": Kind(folder, lora_appears),
    "LoRA's weights": Kind(adapted, tensors("m/adapter_model.safetensors")),
    "LoRA's configuration": Kind(adapted, json_file("m/adapter_config.json", lora_alpha=8)),
    "open_clip's configuration": Kind(local_dir, json_file("m/open_clip_config.json")),
    "open_clip's weights": Kind(local_dir, tensors("m/open_clip_model.safetensors")),
    "checkpoint": Kind(plain_file, tensors("epoch.pt")),
    "chexzero's checkpoint": Kind(lambda root: plain_file(root, "chexzero:"), tensors("epoch.pt")),
    "remoteclip's checkpoint": Kind(lambda root: plain_file(root, "remoteclip:"), tensors("epoch.pt")),
    "open_clip's checkpoint": Kind(open_clip_file, tensors("epoch.pt")),
    "timm's configuration": Kind(timm_folder, json_file("m/config.json"), ("finding a", "finding b")),
    "timm's checkpoint": Kind(timm_file, tensors("m/model.safetensors"), ("class 0", "class 1")),
    "labels": Kind(classifier, other_labels, ("0", "1")),
    "link to a folder": Kind(linked, other_target),
    "blob of the hub": Kind(hub, other_blob),
    "snapshot of the hub": Kind(hub, new_snapshot),
}
