"""The published models of questions and detections that we know by name; sizes are about right. No torch here."""

from __future__ import annotations

from .model_info import ModelInfo

_HUB = "on the Hugging Face hub"
_VQA = "questions about photographs (VQA v2)"
_REGIONS = "It sees an image as 36 described boxes, from a file or from the bottom-up-attention detector."

PUBLISHED = (
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
