"""What ``tokenizer_config.json`` says of case and padding holds, as in the library's own classes."""

import json

import pytest
import tiny_models as tiny
import torch

from napari_vlexplain import load_model
from napari_vlexplain.errors import VLExplainError
from napari_vlexplain.models.text.tokenizers import fast_tokenizer


def changed(folder, **config):
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))


CASES = (
    {"do_lower_case": True},
    {"do_lower_case": False},
    {"do_lower_case": True, "strip_accents": False},
    {"do_lower_case": False, "strip_accents": True},
    {"do_lower_case": False, "tokenizer_class": "PreTrainedTokenizerFast"},
)


@pytest.mark.parametrize("config", CASES)
def test_case_and_accents_of_a_bert(tmp_path, config):
    from transformers import AutoTokenizer, BertTokenizer

    tiny.word_tokenizer(tmp_path)
    BertTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path)  # tokenizer.json makes lower case
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    changed(tmp_path, **config)
    own = AutoTokenizer.from_pretrained(tmp_path)
    for text in ("A Cat", "a càt", "a cat of the lung"):
        assert fast_tokenizer(tmp_path)(text)["input_ids"] == own(text)["input_ids"]


def test_siglip_pads_to_what_its_tokenizer_says(tmp_path):
    library = tiny.siglip(tmp_path)
    changed(tmp_path, model_max_length=9)
    model = load_model(str(tmp_path), device="cpu")
    batch = model.tokenize(["a small dog"])
    assert batch.ids.shape == (1, 9)
    with torch.no_grad():
        found = library.text_model(input_ids=batch.ids).pooler_output
    torch.testing.assert_close(model.encode_text(batch), found, atol=1e-5, rtol=0)


def test_padding_in_front_is_refused(tmp_path):
    tiny.siglip(tmp_path)
    changed(tmp_path, padding_side="left")
    with pytest.raises(VLExplainError, match="in front"):
        load_model(str(tmp_path), device="cpu")
