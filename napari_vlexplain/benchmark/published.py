"""Figures that papers print, to lay beside ours. None of them was computed here, and setups differ: see each note."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A table of a paper.

    columns: (heading, our metric of that kind or "") each. rows: name -> values, None where the paper has none.
    """

    name: str
    source: str
    setup: str
    columns: tuple[tuple[str, str], ...]
    rows: dict[str, tuple[float | None, ...]]
    note: str = ""


PUBLISHED = (
    Published(
        "M2IB, Table 1: confidence and ROAR+",
        "Wang, Rudner, Wilson, NeurIPS 2023",
        "CLIP ViT-B/32, images of 2,000 pairs of Conceptual Captions",
        (("Drop", "drop"), ("Increase", "increase"), ("ROAR+", "")),
        {
            "Grad-CAM": (4.96, 17.84, 2.29),
            "Saliency": (1.99, 22.95, 6.88),
            "Kernel SHAP": (1.94, 25.18, 1.56),
            "RISE": (1.12, 35.72, 3.15),
            "Chefer et al.": (1.63, 37.41, 7.66),
            "M2IB": (1.11, 41.55, 10.59),
        },
        "Drop is absolute, on cosines, times 100; ours is so too where a data set has no classes.",
    ),
    Published(
        "M2IB, Table 1: localisation on MS-CXR",
        "Wang, Rudner, Wilson, NeurIPS 2023",
        "MS-CXR; IoU in per cent, threshold 75 %",
        (("IoU, %", "iou_quantile_75"),),
        {
            "Grad-CAM": (5.56,),
            "Saliency": (21.6,),
            "Kernel SHAP": (7.77,),
            "RISE": (10.97,),
            "Chefer et al.": (21.65,),
            "M2IB": (22.59,),
        },
        "Whether 75 % is a quantile or a value is not said; ours is the quantile, as a share, not in per cent.",
    ),
    Published(
        "DSMI: perturbation of LXMERT",
        "README of Transformer-spectral-interpretability; other rows by Chefer et al. 2021",
        "LXMERT on 10,000 questions of VQA v2; area under accuracy in per cent",
        (
            ("image, most relevant first", ""),
            ("image, least first", ""),
            ("text, most first", ""),
            ("text, least first", ""),
        ),
        {
            "relevance maps": (51.01, 62.91, 21.57, 48.31),
            "transformer attribution": (52.80, 61.16, 21.89, 47.80),
            "partial LRP": (52.83, 60.82, 24.14, 44.51),
            "raw attention": (54.36, 61.34, 32.77, 37.40),
            "Grad-CAM": (57.97, 59.59, 34.50, 37.56),
            "rollout": (57.15, 58.26, 38.71, 31.47),
            "DSMI": (53.47, 59.13, 28.67, 40.28),
            "DSMI + Grad": (53.77, 62.28, 24.78, 44.80),
            "DSMI + Grad + Attn": (53.42, 62.23, 24.12, 45.47),
        },
        "Most first: lower is better; least first: higher. DSMI's gradient variants explain the sum of all logits.",
    ),
    Published(
        "ALA, Table 2: CUB-200-2011",
        "Attention Lattice Adapter",
        "CUB-200-2011, 5,794 test images, five seeds",
        (("mIoU", "iou_value_50"), ("Insertion", "insertion_ala"), ("Deletion", "deletion_ala"), ("ID", "id_ala")),
        {
            "ALA": (0.693, 0.704, 0.007, 0.697),
            "without alternating epochs": (0.495, 0.717, None, 0.702),
            "without taps": (0.520, None, None, None),
            "without LoRA": (0.477, None, None, None),
        },
        "mIoU of ALA is 0.693 +/- 0.007. How the map is cut is not said; ours: scaled map at 0.5.",
    ),
    Published(
        "ALA, Table 3: ImageNet-S",
        "Attention Lattice Adapter",
        "ImageNet-S919, 12,419 images, one seed",
        (("mIoU", "iou_value_50"), ("Insertion", "insertion_ala"), ("Deletion", "deletion_ala"), ("ID", "id_ala")),
        {"ALA": (0.379, 0.462, 0.003, 0.459)},
        "The same table shows exactly .215 for two baselines: the IoU of an all-foreground mask.",
    ),
    Published(
        "INViTE: repair of typographic attacks",
        "INViTE, stored outputs and paper",
        "CLIP ViT-B/32 on 500 images, accuracy",
        (("clean", ""), ("attacked", "")),
        {
            "no repair": (0.998, 0.54),
            "repair": (0.992, 0.888),
            "repair with smoothing (paper)": (0.992, 0.892),
            "random tokens": (0.994, 0.518),
            "mask by raw attention": (0.982, 0.814),
            "mask by gradient x input": (0.954, 0.746),
            "mask by rollout": (0.966, 0.522),
            "mask by rollout x gradient": (0.982, 0.556),
        },
        "36 of the 500 images are never repaired by the published loop; masks at the best threshold, so optimistic.",
    ),
    Published(
        "INViTE: spurious correlation on CelebA",
        "INViTE, stored outputs and paper",
        "accuracy by group: male grey, male other, female grey, female other; mean",
        (("M grey", ""), ("M other", ""), ("F grey", ""), ("F other", ""), ("mean", "")),
        {
            "no edit (paper)": (0.997, 0.159, 0.197, 0.997, 0.5822),
            "edited": (0.972, 0.740, 0.580, 0.983, 0.8166),
            "with smoothing (paper)": (0.972, 0.748, 0.666, 0.978, 0.8391),
            "with smoothing (stored run)": (0.993, 0.532, 0.737, 0.962, 0.8035),
        },
        "Seeds are not fixed; expect several points either way.",
    ),
)


def related(metrics: list[str]) -> list[Published]:
    """The tables with a column of a kind that we measured too."""
    return [table for table in PUBLISHED if any(ours in metrics for _, ours in table.columns if ours)]
