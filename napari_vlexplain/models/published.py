"""The published models that we know by name, and what their makers say of them; sizes are about right. No torch."""

from __future__ import annotations

from typing import Any

from .model_info import PHOTOGRAPHS, RADIOGRAPHS, ModelInfo

_HUB = "on the Hugging Face hub"
_WEB = "photographs from the web"
_RESEARCH = (
    "Research on images and texts of the web; not for surveillance, and not for use without testing (model card)."
)
_CHEST = "Research on chest radiographs; not for clinical care (model card)."

_CLS = "CLS readout; causal text of 77 tokens, read at its end"
_MAP = "attention-pooling readout (no CLS); text of 64 padded tokens, read at the last; sigmoid score"


def _openai(name: str, title: str, size_mb: int, towers: str) -> ModelInfo:
    return ModelInfo(name, title, "MIT", size_mb, f"{name} {_HUB}", _WEB, towers=towers, intended_use=_RESEARCH,
                     neutral=PHOTOGRAPHS)  # fmt: skip


def _laion(arch: str, tag: str, size_mb: int, towers: str, repository: str) -> ModelInfo:
    return ModelInfo(
        f"open_clip:{arch}:{tag}",
        f"OpenCLIP {arch}, {tag}",
        "MIT",
        size_mb,
        f"laion/{repository} {_HUB}",
        "photographs",
        towers=towers,
        intended_use=_RESEARCH,
        neutral=PHOTOGRAPHS,
        repository=f"laion/{repository}",
    )


def _siglip(name: str, title: str, size_mb: int, towers: str) -> ModelInfo:
    source = f"{name} {_HUB}"
    return ModelInfo(name, title, "Apache-2.0", size_mb, source, _WEB, towers=towers, intended_use=_RESEARCH,
                     neutral=PHOTOGRAPHS)  # fmt: skip


def _image_only(name: str, title: str, size_mb: int, good_for: str, towers: str, **more: Any) -> ModelInfo:
    source = f"{name} {_HUB}"
    return ModelInfo(name, title, "Apache-2.0", size_mb, source, good_for, towers=towers, **more)


def _remote(arch: str, size_mb: int, towers: str) -> ModelInfo:
    return ModelInfo(
        f"remoteclip:{arch}",
        f"RemoteCLIP {arch}",
        "Apache-2.0",
        size_mb,
        f"chendelong/RemoteCLIP {_HUB}",
        "satellite and aerial images",
        towers=towers,
        neutral=("a satellite image", "an aerial photo", *PHOTOGRAPHS),
        intended_use="Research on remote sensing.",
        repository="chendelong/RemoteCLIP",
        files=(f"RemoteCLIP-{arch}.pt",),
    )


_DINO = "Features of images for research and applications; it knows no words (model card)."
_IMAGENET = "the 1,000 classes of ImageNet"

PUBLISHED = (
    _openai("openai/clip-vit-base-patch32", "OpenAI CLIP ViT-B/32", 605, f"ViT-B/32, 224 px, 7 x 7 patches; {_CLS}"),
    _openai("openai/clip-vit-base-patch16", "OpenAI CLIP ViT-B/16", 599, f"ViT-B/16, 224 px, 14 x 14 patches; {_CLS}"),
    _openai("openai/clip-vit-large-patch14", "OpenAI CLIP ViT-L/14", 1711, f"ViT-L/14, 224 px, 16 x 16; {_CLS}"),
    ModelInfo(
        "open_clip:RN50-quickgelu:openai",
        "OpenAI CLIP ResNet-50",
        "MIT",
        408,
        f"timm/resnet50_clip.openai {_HUB}",
        _WEB,
        towers="ResNet-50, 224 px, 7 x 7 patches, attention pool asked by their mean; causal text of 77 tokens",
        intended_use=_RESEARCH,
        repository="timm/resnet50_clip.openai",
    ),
    _laion("ViT-B-32", "laion2b_s34b_b79k", 605, f"ViT-B/32, 224 px; {_CLS}", "CLIP-ViT-B-32-laion2B-s34B-b79K"),
    _laion("ViT-B-16", "laion2b_s34b_b88k", 599, f"ViT-B/16, 224 px; {_CLS}", "CLIP-ViT-B-16-laion2B-s34B-b88K"),
    _laion("ViT-L-14", "laion2b_s32b_b82k", 1711, f"ViT-L/14, 224 px; {_CLS}", "CLIP-ViT-L-14-laion2B-s32B-b82K"),
    _laion("ViT-H-14", "laion2b_s32b_b79k", 3944, f"ViT-H/14, 224 px; {_CLS}", "CLIP-ViT-H-14-laion2B-s32B-b79K"),
    _siglip("google/siglip-base-patch16-224", "SigLIP B/16", 813, f"ViT-B/16, 224 px; {_MAP}"),
    _siglip("google/siglip-so400m-patch14-384", "SigLIP SO400M/14, 384", 3511, f"SO400M/14, 378 of 384 px; {_MAP}"),
    _siglip("google/siglip2-base-patch16-224", "SigLIP 2 B/16", 1500, f"ViT-B/16, 224 px; {_MAP}"),
    _siglip("google/siglip2-so400m-patch14-384", "SigLIP 2 SO400M/14, 384", 4544, f"SO400M/14, 378 of 384 px; {_MAP}"),
    ModelInfo(
        "biomedclip",
        "BiomedCLIP: ViT-B/16 and PubMedBERT",
        "MIT",
        784,
        f"microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224 {_HUB}",
        "figures of biomedical articles: radiographs, histology, microscopy, plots",
        towers="ViT-B/16, 224 px, CLS readout; BERT text of up to 256 tokens, read at its class token",
        intended_use="Research on biomedical images and texts in English; not for deployment or clinical care.",
        repository="microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
        files=("open_clip_config.json", "open_clip_pytorch_model.bin", "tokenizer.json", "tokenizer_config.json"),
    ),
    ModelInfo(
        "flaviagiammarino/pubmed-clip-vit-base-patch32",
        "PubMedCLIP ViT-B/32",
        "MIT",
        605,
        f"flaviagiammarino/pubmed-clip-vit-base-patch32 {_HUB}",
        "radiology of many kinds (ROCO)",
        towers=f"ViT-B/32, 224 px; {_CLS}",
        intended_use="Research on medical images; not for clinical care.",
    ),
    ModelInfo(
        "chexzero",
        "CheXzero ViT-B/32",
        "MIT (code); trained on MIMIC-CXR, whose terms apply",
        605,
        "a .pt file handed out by the authors, github.com/rajpurkarlab/CheXzero",
        "chest radiographs (MIMIC-CXR)",
        towers=f"ViT-B/32, letterboxed to 320 px, then 224; {_CLS}",
        intended_use=_CHEST,
        neutral=RADIOGRAPHS,
        files=("best_64_5e-05_original_22000_0.864.pt",),
    ),
    ModelInfo(
        "cxr-repair",
        "CXR-RePaiR ViT-B/32",
        "MIT (code); trained on MIMIC-CXR, whose terms apply",
        605,
        "a .pt file handed out by the authors, github.com/rajpurkarlab/CXR-RePaiR",
        "chest radiographs and sentences of reports (MIMIC-CXR)",
        towers=f"ViT-B/32, letterboxed to 320 px, then 224; {_CLS}",
        intended_use=_CHEST,
        neutral=RADIOGRAPHS,
        files=("clip-imp-pretrained_128_6_after_4.pt",),
    ),
    ModelInfo(
        "biovil",
        "BioViL: ResNet-50 and CXR-BERT",
        "MIT",
        550,
        f"microsoft/BiomedVLP-CXR-BERT-specialized {_HUB}",
        "chest radiographs and phrases of reports (MIMIC-CXR)",
        towers="ResNet-50, 480 px, 15 x 15 projected patches, the image is their mean; BERT text, class token",
        intended_use=_CHEST,
        neutral=RADIOGRAPHS,
        repository="microsoft/BiomedVLP-CXR-BERT-specialized",
        files=("biovil_image_resnet50_proj_size_128.pt", "pytorch_model.bin", "vocab.txt", "config.json"),
    ),
    ModelInfo(
        "biovil-t",
        "BioViL-T: ResNet-50 and CXR-BERT, without a prior image",
        "MIT",
        550,
        f"microsoft/BiomedVLP-BioViL-T {_HUB}",
        "chest radiographs and phrases of reports (MIMIC-CXR)",
        towers="ResNet-50, 448 px, 14 x 14 projected patches, the image is their mean; BERT text, class token",
        intended_use=_CHEST,
        neutral=RADIOGRAPHS,
        repository="microsoft/BiomedVLP-BioViL-T",
        files=("biovil_t_image_model_proj_size_128.pt", "pytorch_model.bin", "vocab.txt", "config.json"),
    ),
    ModelInfo(
        "google/medsiglip-448",
        "MedSigLIP 448",
        "Health AI Developer Foundations terms of use",
        3514,
        f"google/medsiglip-448 {_HUB}",
        "radiology, dermatology, ophthalmology, histology",
        towers=f"SO400M/14, 448 px, 32 x 32 patches; {_MAP}",
        intended_use="A starting point for health applications; not for diagnosis as it is (model card).",
        gated=True,
    ),
    _remote("RN50", 408, "ResNet-50, 224 px, attention pool; causal text of 77 tokens"),
    _remote("ViT-B-32", 605, f"ViT-B/32, 224 px; {_CLS}"),
    _remote("ViT-L-14", 1711, f"ViT-L/14, 224 px; {_CLS}"),
    _image_only("facebook/dinov2-small", "DINOv2 S/14", 88, "segments of any image; no prompts", "ViT-S/14, CLS",
                intended_use=_DINO),
    _image_only("facebook/dinov2-base", "DINOv2 B/14", 346, "segments of any image; no prompts", "ViT-B/14, CLS",
                intended_use=_DINO),
    _image_only("facebook/dinov2-with-registers-small", "DINOv2 S/14 with registers", 88,
                "segments of any image, without artefact tokens; no prompts", "ViT-S/14, CLS, 4 registers",
                intended_use=_DINO),
    _image_only("google/vit-base-patch16-224", "ViT-B/16 classifier", 346, _IMAGENET, "ViT-B/16, 224 px, CLS",
                intended_use="Classification of photographs (model card)."),
    _image_only("facebook/deit-base-patch16-224", "DeiT-B/16 classifier", 346, _IMAGENET, "ViT-B/16, 224 px, CLS",
                intended_use="Classification of photographs (model card)."),
    ModelInfo(
        "timm:vit_base_patch16_224.augreg2_in21k_ft_in1k",
        "ViT-B/16 classifier (timm)",
        "Apache-2.0",
        346,
        f"timm/vit_base_patch16_224.augreg2_in21k_ft_in1k {_HUB}",
        _IMAGENET,
        towers="ViT-B/16, 224 px, CLS",
        intended_use="Classification of photographs (model card).",
        repository="timm/vit_base_patch16_224.augreg2_in21k_ft_in1k",
    ),
)  # fmt: skip


_HUB = "on the Hugging Face hub"
_VQA = "questions about photographs (VQA v2)"
_REGIONS = "It sees an image as 36 described boxes, from a file or from the bottom-up-attention detector."

QUESTION_MODELS = (
    ModelInfo(
        "unc-nlp/lxmert-vqa-uncased",
        "LXMERT, fine-tuned on VQA v2",
        "Apache-2.0",
        837,
        f"unc-nlp/lxmert-vqa-uncased {_HUB}",
        _VQA,
        kind="question",
        towers=f"two streams of width 768: 9 language, 5 relation, 5 cross-modality layers. {_REGIONS}",
        intended_use="Research on questions about photographs.",
        files=("vocab.txt",),
    ),
    ModelInfo(
        "uclanlp/visualbert-vqa",
        "VisualBERT, fine-tuned on VQA v2",
        "Apache-2.0",
        458,
        f"uclanlp/visualbert-vqa {_HUB}",
        _VQA,
        kind="question",
        towers=f"one stream of width 768: 12 layers over words and boxes of 2,048 features. {_REGIONS}",
        intended_use="Research on questions about photographs.",
        files=("vocab.txt",),
    ),
    ModelInfo(
        "facebook/detr-resnet-50",
        "DETR, ResNet-50",
        "Apache-2.0",
        167,
        f"facebook/detr-resnet-50 {_HUB}",
        "80 kinds of everyday object in photographs (COCO)",
        kind="detector",
        towers="ResNet-50, 6 encoder and 6 decoder layers of width 256, 100 object queries",
        intended_use="Research on object detection.",
    ),
)
