"""Tokenizers of ``transformers`` from files: no network, no code of theirs, and never an empty one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import VLExplainError, first_line
from ..files.identity import note, note_all
from ..files.read import read_json

TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
BESIDE = ("merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json",
          "sentencepiece.bpe.model")  # fmt: skip
"""What the library may read besides."""


def fast_tokenizer(folder: Path) -> Any:
    """The tokenizer in a folder; ``tokenizer.json`` is taken as it is, whichever class the folder names.

    Raises
    ------
    VLExplainError : there is none (the library would quietly build an empty one), or it cannot be read.
    """
    from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerFast

    note_all(folder, (*TOKENIZERS, *BESIDE))
    for file in folder.glob("tokenizer.*.json"):  # of one version of the library
        note(file)
    kind: Any = AutoTokenizer
    if (folder / "tokenizer.json").is_file():
        kind = PreTrainedTokenizerFast
    elif (folder / "vocab.txt").is_file():
        kind = BertTokenizer
    elif not any((folder / name).is_file() for name in TOKENIZERS):
        raise VLExplainError(f"{folder} holds no tokenizer: it needs tokenizer.json (or vocab.json and merges.txt).")
    options = {} if kind is not AutoTokenizer else {"trust_remote_code": False}
    try:
        fast = kind.from_pretrained(str(folder), local_files_only=True, **options)
        return _in_case(fast, folder) if kind is PreTrainedTokenizerFast else fast
    except VLExplainError:
        raise
    except Exception as error:
        raise VLExplainError(
            f"The tokenizer in {folder} cannot be read: {first_line(error)} Copy its files again."
        ) from None


def _in_case(fast: Any, folder: Path) -> Any:
    """BERT's case and accents are what ``tokenizer_config.json`` says, whatever ``tokenizer.json`` holds.

    So do the library's own BERT classes, and those that a repository derives from them; the plain class does not.
    """
    from tokenizers.normalizers import BertNormalizer

    own = fast.backend_tokenizer.normalizer
    if not isinstance(own, BertNormalizer) or not (folder / "tokenizer_config.json").is_file():
        return fast
    config = read_json(folder, "tokenizer_config.json")
    if str(config.get("tokenizer_class")) in ("PreTrainedTokenizerFast", "TokenizersBackend"):
        return fast
    fast.backend_tokenizer.normalizer = BertNormalizer(
        clean_text=own.clean_text,
        handle_chinese_chars=bool(config.get("tokenize_chinese_chars", own.handle_chinese_chars)),
        strip_accents=config.get("strip_accents", own.strip_accents),
        lowercase=bool(config.get("do_lower_case", own.lowercase)),
    )
    return fast
