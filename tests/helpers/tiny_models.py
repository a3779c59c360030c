"""Tiny models with random weights, of the very classes that people use, saved as their publishers save them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from napari_vlexplain.models.libraries.torchvision_guard import guard_torchvision

guard_torchvision()

VOCABULARY = 300  # some methods draw filler tokens from the first 256 ids
WORDS = ("a", "cat", "dog", "small", "large", "left", "lung", "no", "pleural", "effusion", "of", "the", "photo")


def shake(model: Any) -> Any:
    """Away from norms of 1 and biases of 0, which would hide mistakes; statistics of batch norms included."""
    torch.manual_seed(0)
    model = model.eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer += 0.1 * torch.randn_like(buffer)
        elif name.endswith("running_var"):
            buffer *= 1 + 0.3 * torch.rand_like(buffer)
    return model


def statistics(folder: Path, size: dict[str, int], **more: Any) -> None:
    """``preprocessor_config.json``"""
    data = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": size, "resample": 3, **more}
    (folder / "preprocessor_config.json").write_text(json.dumps(data))


def piece_tokenizer(folder: Path, lower: bool = False, **config: Any) -> None:
    """A sentence-piece tokenizer that ends prompts with ``</s>`` and pads with it too, as SigLIP's does."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    pieces = ["<unk>", "</s>", "<pad>", *(f"▁{word}" for word in WORDS), "▁", "s", "ing", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = [(piece, -float(index)) for index, piece in enumerate(dict.fromkeys(pieces))]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    data = {"tokenizer_class": "SiglipTokenizer", "unk_token": "<unk>", "eos_token": "</s>", "pad_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**data, **config}))


def word_tokenizer(folder: Path) -> None:
    """BERT's layout: ``vocab.txt`` and a configuration that names a class of the repository's own."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s", "##ing", *"abcdefghijklmnopqrstuvwxyz"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "model_max_length": 32}))


def siglip(folder: Path, version: int = 1, image: int = 36, patch: int = 8) -> Any:
    """SigLIP, or the fixed-resolution SigLIP 2, whose tokenizer is Gemma's."""
    from transformers import SiglipConfig, SiglipModel

    common = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = SiglipConfig(
        text_config={**common, "vocab_size": VOCABULARY, "max_position_embeddings": 16, "projection_size": 32,
                     "pad_token_id": 1, "bos_token_id": None, "eos_token_id": 1},
        vision_config={**common, "image_size": image, "patch_size": patch},
    )  # fmt: skip
    model = shake(SiglipModel(config))
    model.logit_scale.fill_(2.3)
    model.logit_bias.fill_(-4.0)
    model.save_pretrained(folder)
    statistics(folder, {"height": image, "width": image}, image_processor_type="SiglipImageProcessor")
    if version == 1:
        piece_tokenizer(folder)
    else:
        piece_tokenizer(folder, tokenizer_class="GemmaTokenizer", pad_token="<pad>")
    return model


def clip_image(folder: Path, projected: bool = True) -> Any:
    """The image side of a CLIP on its own, with its projection or without."""
    import transformers

    common = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = transformers.CLIPVisionConfig(**common, image_size=32, patch_size=8, projection_dim=24)
    torch.manual_seed(0)
    kind = transformers.CLIPVisionModelWithProjection if projected else transformers.CLIPVisionModel
    model = shake(kind(config))
    model.save_pretrained(folder)
    statistics(folder, {"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, do_center_crop=True,
               image_processor_type="CLIPImageProcessor")  # fmt: skip
    return model


def siglip_image(folder: Path) -> Any:
    """The image side of a SigLIP on its own."""
    from transformers import SiglipVisionConfig, SiglipVisionModel

    common = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = shake(SiglipVisionModel(SiglipVisionConfig(**common, image_size=32, patch_size=8)))
    model.save_pretrained(folder)
    statistics(folder, {"height": 32, "width": 32}, image_processor_type="SiglipImageProcessor")
    return model


def open_clip_folder(
    folder: Path, model: Any, config: dict[str, Any], preprocess: dict[str, Any] | None = None
) -> None:
    """``open_clip_config.json`` and ``open_clip_model.safetensors``"""
    from safetensors.torch import save_file

    data = {"model_cfg": config, "preprocess_cfg": preprocess or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(data))
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )


def open_clip_siglip(folder: Path) -> Any:
    """A timm trunk with registers, query-key norms and a ``map`` pool, and the text tower of SigLIP."""
    from open_clip import CustomTextCLIP

    config = {
        "embed_dim": 96,
        "init_logit_bias": -10,
        "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit3", "timm_model_pretrained": False,
                       "timm_pool": "map", "timm_proj": "none"},
        "text_cfg": {"context_length": 16, "vocab_size": VOCABULARY, "hf_tokenizer_name": "timm/ViT-B-16-SigLIP",
                     "tokenizer_kwargs": {"clean": "canonicalize"}, "width": 96, "heads": 3, "layers": 3,
                     "no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}},
    }  # fmt: skip
    torch.manual_seed(0)
    model = shake(CustomTextCLIP(**json.loads(json.dumps(config))))
    statistics_of = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    open_clip_folder(folder, model, {**config, "custom_text": True}, statistics_of)
    piece_tokenizer(folder, tokenizer_class="T5Tokenizer")
    return model


Builder = Callable[[Path], Any]


CLIP_TEXT = {"context_length": 20, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}
"""OpenAI's vocabulary, which open_clip carries; heads are 64 wide, as a state dict cannot say otherwise."""


def open_clip_model(vision: dict[str, Any], quick_gelu: bool = True, **more: Any) -> tuple[Any, dict[str, Any]]:
    """open_clip's CLIP and its configuration."""
    from open_clip import CLIP

    config = {"embed_dim": 24, "quick_gelu": quick_gelu, "vision_cfg": vision, "text_cfg": CLIP_TEXT, **more}
    torch.manual_seed(0)
    return shake(CLIP(**json.loads(json.dumps(config)))), config


RESNET = {"layers": [1, 1, 1, 1], "width": 16, "image_size": 96, "patch_size": None}
VIT = {"layers": 3, "width": 64, "image_size": 32, "patch_size": 8}


def open_clip_resnet(folder: Path) -> Any:
    """OpenAI's ResNet with its attention pool."""
    model, config = open_clip_model(RESNET)
    open_clip_folder(folder, model, config)
    return model


def openai_state_dict(file: Path, vision: dict[str, Any] = VIT) -> Any:
    """A ``.pt`` with the names of OpenAI's CLIP: CheXzero, CXR-RePaiR, RemoteCLIP."""
    model, _ = open_clip_model(vision)
    torch.save(model.state_dict(), file)
    return model


def biomedclip(folder: Path, text_config: str = "folder") -> Any:
    """A timm ViT and a BERT with an MLP head, in open_clip's layout; the hub's name of the BERT leads nowhere here.

    ``text_config``: its configuration lies in a ``folder``, or must be read off the ``shapes`` of the weights.
    """
    from open_clip import CustomTextCLIP
    from transformers import BertConfig

    bert = BertConfig(vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=3, num_attention_heads=1,
                      intermediate_size=96, max_position_embeddings=48)  # fmt: skip
    (folder / "text").mkdir()
    bert.save_pretrained(folder / "text")
    text = {"hf_model_name": str(folder / "text"), "hf_tokenizer_name": "microsoft/BiomedNLP-BiomedBERT",
            "hf_proj_type": "mlp", "hf_pooler_type": "cls_last_hidden_state_pooler", "context_length": 32,
            "hf_model_pretrained": False}  # fmt: skip
    vision = {"timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear",
              "image_size": 160}  # fmt: skip
    torch.manual_seed(0)
    config: dict[str, Any] = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}
    model = shake(CustomTextCLIP(**json.loads(json.dumps(config))))
    text = {**text, "hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"}
    del text["hf_model_pretrained"]
    open_clip_folder(folder, model, {**config, "text_cfg": text}, {"mean": [0.4] * 3, "std": [0.3] * 3})
    word_tokenizer(folder)
    if text_config == "shapes":
        (folder / "text" / "config.json").unlink()
    return model


def clip(folder: Path) -> Any:
    """A CLIP of ``transformers`` as PubMedCLIP has it: the old form of the end token, weights in a ``.bin``."""
    import shutil

    from transformers import CLIPConfig, CLIPModel

    from napari_vlexplain.models.zoo import RESOURCES

    common = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    ids = {"vocab_size": 2048, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    vision = {**common, "image_size": 32, "patch_size": 8, "hidden_act": "quick_gelu"}
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={**common, **ids, "max_position_embeddings": 20, "hidden_act": "quick_gelu"},
        vision_config=vision,
        projection_dim=24,
    )
    model = shake(CLIPModel(config))
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(RESOURCES / "models" / "mini" / file, folder)
    statistics(folder, {"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, do_center_crop=True)
    return model


def biovil(folder: Path, temporal: bool = False) -> tuple[Any, Any, Any]:
    """BioViL's repository: (torchvision's ResNet, the rest of the image tensors, the BERT with its language head).

    The ResNet has one block a stage; torchvision fixes its widths.
    """
    from torchvision.models.resnet import Bottleneck, ResNet
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    resnet = shake(ResNet(Bottleneck, [1, 1, 1, 1]))
    channels = 64 if temporal else 2048
    projector = shake(
        torch.nn.Sequential(
            torch.nn.Conv2d(channels, 16, 1, bias=False),
            torch.nn.BatchNorm2d(16),
            torch.nn.ReLU(),
            torch.nn.Conv2d(16, 16, 1),
        )
    )
    tensors = {f"encoder.encoder.{key}": value for key, value in resnet.state_dict().items()}
    tensors |= {f"projector.model.{key}": value for key, value in projector.state_dict().items()}
    rest: dict[str, torch.Tensor] = {}
    if temporal:
        rest["encoder.backbone_to_vit.weight"] = 0.05 * torch.randn(32, 2048, 1, 1)
        rest["encoder.missing_previous_emb"] = torch.randn(1, 32, 1, 1)
        tensors |= {**rest, "encoder.vit_pooler.type_embed": torch.zeros(2, 1, 32)}
    name = "biovil_t_image_model_proj_size_128.pt" if temporal else "biovil_image_resnet50_proj_size_128.pt"
    torch.save(tensors, folder / name)

    config = BertConfig(vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=3, num_attention_heads=4,
                        intermediate_size=96, max_position_embeddings=32)  # fmt: skip
    bert = shake(BertForMaskedLM(config))
    head = shake(text_projection(64, 16))
    tensors = {**bert.state_dict(), **{f"cls_projection_head.{k}": v for k, v in head.state_dict().items()}}
    torch.save(tensors, folder / "pytorch_model.bin")
    data = {**config.to_dict(), "model_type": "cxr-bert", "projection_size": 16, "architectures": ["CXRBertModel"],
            "auto_map": {"AutoModel": "modeling_cxrbert.CXRBertModel"}}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(data))
    (folder / "modeling_cxrbert.py").write_text("raise SystemExit('code of a repository was run')\n")
    word_tokenizer(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CXRBertTokenizer",
        "auto_map": {"AutoTokenizer": ["configuration_cxrbert.CXRBertTokenizer", None]}}))  # fmt: skip
    return resnet, (projector, rest), (bert, head)


def text_projection(hidden: int, projected: int) -> Any:
    """The published head by its names, computed by the test itself."""
    head = torch.nn.Module()
    head.dense_to_hidden = torch.nn.Linear(hidden, projected)
    head.LayerNorm = torch.nn.LayerNorm(projected, eps=1e-12)
    head.dense_to_output = torch.nn.Linear(projected, projected)
    return head


def classifier(folder: Path, kind: str = "vit") -> Any:
    """``vit``, ``deit`` or ``distilled`` of ``transformers``, with the names of its classes."""
    import transformers

    name = {"vit": "ViT", "deit": "DeiT", "distilled": "DeiT"}[kind]
    labels = {0: "tench, Tinca tinca", 1: "tabby, tabby cat", 2: "crane", 3: "Samoyed, Samoyede", 4: "crane, machine"}
    size = (32, 48) if kind == "vit" else 32
    config = getattr(transformers, f"{name}Config")(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64, image_size=size,
        patch_size=8, id2label=labels, label2id={value: key for key, value in labels.items()},
    )  # fmt: skip
    torch.manual_seed(0)
    suffix = "ForImageClassificationWithTeacher" if kind == "distilled" else "ForImageClassification"
    model = shake(getattr(transformers, f"{name}{suffix}")(config))
    model.save_pretrained(folder)
    height, width = size if isinstance(size, tuple) else (size, size)
    sides = {"height": height, "width": width}
    statistics(folder, sides, resample=2, crop_size=sides, do_center_crop=kind != "vit")
    return model


def timm_classifier(folder: Path, architecture: str = "test_vit", classes: int = 7) -> Any:
    """A ViT of timm in the layout of its hub repositories."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = shake(timm.create_model(architecture, num_classes=classes))
    config = {
        "architecture": architecture,
        "num_classes": classes,
        "num_features": model.num_features,
        "label_names": [f"finding {letter}" for letter in "abcdefg"[:classes]],
        "pretrained_cfg": {"input_size": [3, 160, 160], "interpolation": "bicubic", "crop_pct": 0.95,
                           "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], "classifier": "head"},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors")
    return model


def timm_headless(folder: Path, architecture: str, **arguments: Any) -> Any:
    """A ViT of timm without a head, such as DINOv2 and DINOv3, in the layout of its hub repositories."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = shake(timm.create_model(architecture, num_classes=0, **arguments))
    side = model.patch_embed.img_size[0]
    config = {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": model.num_features,
        "global_pool": model.global_pool,
        "model_args": arguments,
        "pretrained_cfg": {"input_size": [3, side, side], "fixed_input_size": True, "interpolation": "bicubic",
                           "crop_pct": 1.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
                           "num_classes": 0, "pool_size": None, "first_conv": "patch_embed.proj",
                           "classifier": "head"},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors")
    return model


def headless(folder: Path, kind: str = "ViT") -> Any:
    """ViT or DeiT without a head, as the first DINO is published: its weights have no pooler."""
    import transformers

    common = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**common, image_size=32, patch_size=8)
    model = shake(getattr(transformers, f"{kind}Model")(config, add_pooling_layer=False))
    model.save_pretrained(folder)
    statistics(folder, {"height": 32, "width": 32}, image_processor_type=f"{kind}ImageProcessor",
               crop_size={"height": 32, "width": 32})  # fmt: skip
    return model


def dinov3(folder: Path, gated: bool = False, registers: int = 4) -> Any:
    """DINOv3: rotary positions and registers."""
    import transformers

    torch.manual_seed(0)
    config = transformers.DINOv3ViTConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2, image_size=64, patch_size=16,
        num_register_tokens=registers, layerscale_value=0.5, use_gated_mlp=gated,
    )  # fmt: skip
    model = shake(transformers.DINOv3ViTModel(config))
    model.save_pretrained(folder)
    statistics(folder, {"height": 64, "width": 64}, resample=2, image_processor_type="DINOv3ViTImageProcessorFast",
               do_center_crop=None, crop_size=None, data_format="channels_first")  # fmt: skip
    return model


def dinov2(folder: Path, registers: int = 0, gated: bool = False) -> Any:
    """DINOv2, pretrained on larger images than it is given: its positions are interpolated."""
    import transformers

    common = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 70, "patch_size": 14,
              "layerscale_value": 0.5, "use_swiglu_ffn": gated}  # fmt: skip
    torch.manual_seed(0)
    if registers:
        config = transformers.Dinov2WithRegistersConfig(**common, num_register_tokens=registers)
        model = shake(transformers.Dinov2WithRegistersModel(config))
    else:
        model = shake(transformers.Dinov2Model(transformers.Dinov2Config(**common)))
    model.save_pretrained(folder)
    statistics(folder, {"shortest_edge": 64}, crop_size={"height": 56, "width": 56}, do_center_crop=True)
    return model
