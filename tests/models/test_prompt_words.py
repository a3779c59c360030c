"""Prompts show as they were typed, whatever pieces and bytes a tokenizer cuts them into."""

from __future__ import annotations

from itertools import groupby

import pytest
from tiny_clip import MINI
from transformers import AutoTokenizer

from napari_vlexplain.models.text.prompts import HuggingFaceTokenizer, OpenClipTokenizer, Prompt, Tokenizer, highest_id

CASES = {
    "Œdème naïf café": ["Œdème", "naïf", "café"],
    "肺炎 in the left lung": ["肺炎", "in", "the", "left", "lung"],
    "猫がいる  Straße": ["猫がいる", "Straße"],
}


@pytest.fixture(scope="module")
def byte_level() -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer(AutoTokenizer.from_pretrained(MINI), 32, highest_id)


@pytest.fixture(scope="module")
def openai() -> OpenClipTokenizer:
    import open_clip  # tiny_clip has made torchvision safe to import by now

    return OpenClipTokenizer(open_clip.SimpleTokenizer(), 77, highest_id)


def words(prompt: Prompt) -> list[str]:
    pairs = groupby(zip(prompt.words, prompt.tokens, strict=True), key=lambda pair: pair[0])
    return ["".join(token for _, token in pair) for _, pair in pairs]


@pytest.mark.parametrize("text", CASES)
def test_words_of_a_byte_level_tokenizer(byte_level: HuggingFaceTokenizer, text: str) -> None:
    prompt = byte_level(text)
    assert words(prompt) == CASES[text]
    assert len(prompt.tokens) == len(prompt.content) == len(prompt.words) > len(CASES[text])


@pytest.mark.parametrize("text", CASES)
def test_words_of_open_clip(openai: OpenClipTokenizer, text: str) -> None:
    prompt = openai(text)
    assert words(prompt) == [word.lower() for word in CASES[text]]


def test_a_character_stands_with_its_first_byte(byte_level: HuggingFaceTokenizer, openai: OpenClipTokenizer) -> None:
    assert byte_level("肺炎").tokens == ("肺", "", "", "炎", "")  # mini knows no token for the last byte
    assert openai("肺炎").tokens == ("肺", "", "", "炎", "", "")


def test_a_cut_prompt_keeps_its_words(byte_level: HuggingFaceTokenizer, openai: OpenClipTokenizer) -> None:
    pair: tuple[Tokenizer, Tokenizer] = (byte_level, openai)
    for tokenizer in pair:
        cut = tokenizer.cut(tokenizer("肺炎 and café " * 30))
        assert len(cut.ids) == tokenizer.context and words(cut)[:3] == ["肺炎", "and", "café"]


def test_a_prompt_that_its_model_rewrites_shows_as_it_is_read() -> None:
    rewriting = HuggingFaceTokenizer(
        AutoTokenizer.from_pretrained(MINI), 32, highest_id, prepare=lambda t: f"a {t.lower()}"
    )
    assert words(rewriting("Le Café")) == ["a", "le", "café"]
    lowering = HuggingFaceTokenizer(AutoTokenizer.from_pretrained(MINI), 32, highest_id, prepare=str.lower)
    assert words(lowering("Le Café")) == ["Le", "Café"]
