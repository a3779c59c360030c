"""Which metrics there are: what each is called, which way is better, and what it needs. No torch here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ..errors import VLExplainError

Need = Literal["truth", "image_score", "word_score", "model"]
Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class MetricInfo:
    """A metric, as a person and the benchmark know it.

    Attributes
    ----------
    name : what to pass to ``--metrics``.
    title : for tables and plots.
    better : higher, lower, or neither (a description, not a merit).
    low, high : range of the values; None where open.
    needs : ``truth`` (a mask), ``image_score`` (the model's score of masked images), ``word_score`` (of masked
        prompts), ``model`` (the explanation again, on other images or other weights); nothing: the map alone.
    group : what it belongs to on the command line.
    source : paper.
    summary : one line.
    """

    name: str
    title: str
    better: Better
    low: float | None
    high: float | None
    needs: frozenset[Need]
    group: str
    source: str
    summary: str


def _truth(
    name: str, title: str, source: str, summary: str, low: float | None = 0.0, high: float | None = 1.0
) -> MetricInfo:
    return MetricInfo(name, title, "higher", low, high, frozenset({"truth"}), "localisation", source, summary)


def _curve(name: str, title: str, better: Better, source: str, summary: str) -> MetricInfo:
    return MetricInfo(name, title, better, None, None, frozenset({"image_score"}), "perturbation", source, summary)


def _confidence(
    name: str, title: str, better: Better, high: float | None, source: str, summary: str, need: Need = "image_score"
) -> MetricInfo:
    return MetricInfo(name, title, better, 0.0, high, frozenset({need}), "confidence", source, summary)


def _random(name: str, title: str, summary: str) -> MetricInfo:
    source = "Adebayo et al. 2018; M2IB, section 4.4"
    return MetricInfo(name, title, "lower", 0.0, 1.0, frozenset({"model"}), "randomisation", source, summary)


_RISE, _SAMEK, _ALA = "Petsiuk et al. 2018, RISE", "Samek et al. 2017", "ALA, section 4"
_M2IB, _CAM = "M2IB, section 4.2", "Grad-CAM++, Chattopadhyay et al. 2018"
_YEH = "Yeh et al. 2019"

METRICS = (
    _truth("pointing_game", "Pointing game", "Zhang et al. 2018", "does the maximum lie in the truth"),
    _truth("pointing_game_15", "Pointing game, 15 px", "Zhang et al. 2018", "the same with 15 pixels of tolerance"),
    _truth("energy", "Energy in truth", "Score-CAM, Wang et al. 2020", "share of the positive mass in the truth"),
    _truth("relevance_rank", "Relevance rank", "CLEVR-XAI, Arras et al. 2022", "share of the top |G| pixels in G"),
    _truth("average_precision", "Pixel AP", "Chefer et al. 2021", "precision over recall, threshold-free"),
    _truth("cnr", "CNR", "BioViL, Boecking et al. 2022", "contrast to noise; blind to the sign", 0.0, None),
    _truth("cnr_signed", "CNR, signed", "BioViL, without the absolute value", "negative if inverted", None, None),
    _truth("iou_value_50", "IoU at 0.5", "ALA, section 4; threshold ours", "scaled map cut at 0.5"),
    _truth("iou_quantile_75", "IoU, top quarter", _M2IB, "map cut at its 0.75 quantile"),
    _truth("iou_otsu", "IoU, Otsu", "Otsu 1979", "map cut by Otsu's rule"),
    _truth("dice_value_50", "Dice at 0.5", "Dice 1945", "scaled map cut at 0.5"),
    _truth("dice_quantile_75", "Dice, top quarter", "Dice 1945", "map cut at its 0.75 quantile"),
    _truth("dice_otsu", "Dice, Otsu", "Dice 1945", "map cut by Otsu's rule"),
    _truth("iou_mean", "IoU at the mean", "Chefer et al. 2021", "map cut at its mean; pooled: iou_dataset_fg_bg"),
    _truth("iou_threshold_mean", "IoU over thresholds, raw", "BioViL", "raw scores cut at 0.1 to 0.5"),
    _truth("iou_threshold_mean_scaled", "IoU over thresholds, scaled", "ours", "scaled map cut at 0.1 to 0.5"),
    _curve("insertion", "Insertion", "higher", _RISE, "patches put back on a blurred image"),
    _curve("deletion", "Deletion", "lower", _RISE, "patches replaced by the mean colour"),
    _curve("insertion_rise", "Insertion (RISE)", "higher", _RISE, "pixels, one row a step, blurred image"),
    _curve("deletion_rise", "Deletion (RISE)", "lower", _RISE, "pixels, one row a step, mean colour"),
    _curve("insertion_ala", "Insertion (ALA)", "higher", _ALA, "pixels, 100 steps, on black"),
    _curve("deletion_ala", "Deletion (ALA)", "lower", _ALA, "pixels, 100 steps, to black"),
    _curve("id_ala", "ID (ALA)", "higher", _ALA, "insertion minus deletion"),
    _curve("morf", "MoRF", "lower", _SAMEK, "most relevant patches first to the mean colour"),
    _curve("lerf", "LeRF", "higher", _SAMEK, "least relevant patches first to the mean colour"),
    _curve("abpc", "LeRF - MoRF", "higher", _SAMEK, "area between the two"),
    _curve("road", "ROAD", "higher", "Rong et al. 2022", "(LeRF - MoRF) / 2 with imputed pixels"),
    _confidence("drop", "Drop, absolute", "lower", 200.0, _M2IB, "score lost when the image is masked softly"),
    _confidence("drop_relative", "Drop, relative", "lower", None, _CAM, "the same as a share of the score"),
    _confidence("increase", "Increase", "higher", 100.0, f"{_CAM}; {_M2IB}", "does the masked image score more"),
    _confidence("gain", "Gain", "higher", None, "Opti-CAM, Zhang et al. 2024", "score won, of what could be won"),
    _confidence("drop_words", "Drop, words", "lower", 200.0, _M2IB, "the upper half of the words kept", "word_score"),
    _confidence("drop_words_relative", "Drop, words, relative", "lower", None, _CAM, "as a share", "word_score"),
    _confidence("increase_words", "Increase, words", "higher", 100.0, _M2IB, "does it score more", "word_score"),
    _confidence("gain_words", "Gain, words", "higher", None, "Opti-CAM", "score won by fewer words", "word_score"),
    MetricInfo("sensitivity_n", "Sensitivity-n", "higher", -1.0, 1.0, frozenset({"image_score"}), "stability",
               "Ancona et al. 2018", "correlation of relevance and loss over random subsets"),
    MetricInfo("infidelity", "Infidelity", "lower", 0.0, None, frozenset({"image_score"}), "stability", _YEH,
               "squared error of predicted losses, best scale"),
    MetricInfo("max_sensitivity", "Max-sensitivity", "lower", 0.0, None, frozenset({"model"}), "stability", _YEH,
               "largest change of the map under small noise"),
    MetricInfo("complexity", "Complexity", "neither", 0.0, None, frozenset(), "complexity",
               "Bhatt et al. 2020", "entropy of the relevance over patches"),
    MetricInfo("sparseness", "Sparseness", "neither", 0.0, 1.0, frozenset(), "complexity",
               "Chalasani et al. 2020", "Gini index over patches"),
    _random("randomisation_spearman", "Randomised model, Spearman", "likeness to maps of randomised models"),
    _random("randomisation_pearson", "Randomised model, Pearson", "likeness to maps of randomised models"),
    _random("randomisation_ssim", "Randomised model, SSIM", "likeness to maps of randomised models"),
    _random("prompt_spearman", "Other prompt, Spearman", "likeness to the map of an unrelated prompt"),
)  # fmt: skip
GROUPS = tuple(dict.fromkeys(info.group for info in METRICS))
DEFAULT_WITH_TRUTH = (
    "pointing_game", "energy", "relevance_rank", "average_precision", "cnr", "cnr_signed", "iou_quantile_75",
    "iou_otsu", "iou_mean",
)  # fmt: skip
DEFAULT_WITHOUT_TRUTH = ("insertion", "deletion", "drop", "increase", "drop_words", "increase_words")

_BY_NAME = {info.name: info for info in METRICS}


def metric(name: str) -> MetricInfo:
    """The metric of that name; raises VLExplainError if there is none."""
    if name not in _BY_NAME:
        raise VLExplainError(f"There is no metric {name!r}; choose of {', '.join(_BY_NAME)}.")
    return _BY_NAME[name]


def metrics_of(words: Iterable[str]) -> tuple[MetricInfo, ...]:
    """Metrics by name or group (``localisation``, ``perturbation``, ..., ``all``), each once, in the given order.

    Raises VLExplainError for a word that is neither.
    """
    found: dict[str, MetricInfo] = {}
    for word in words:
        if word in GROUPS or word == "all":
            found.update((info.name, info) for info in METRICS if word in ("all", info.group))
        elif word in _BY_NAME:
            found[word] = _BY_NAME[word]
        else:
            raise VLExplainError(
                f"There is no metric {word!r}; choose a group ({', '.join([*GROUPS, 'all'])}) or of "
                f"{', '.join(_BY_NAME)}."
            )
    return tuple(found.values())
