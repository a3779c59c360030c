"""Prompts that come as embeddings in a file, by name. No torch at import."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import VLExplainError, first_line

if TYPE_CHECKING:
    from torch import Tensor

MOST_NUMBERS = 2**26
"""In one file: 65,536 embeddings of 1,024 numbers."""
NAMES = (".txt", ".json")
"""Endings of the file beside it that names its rows: one name a line, or a JSON list."""
_SAVE = "save float numbers of shape (prompts, width)"


@dataclass(frozen=True)
class EmbeddingsIdentity:
    """Which embeddings: their file, for people and for code that is copied, and the hash of names and numbers."""

    name: str
    sha256: str


@dataclass(frozen=True, eq=False)
class PromptEmbeddings:
    """Prompts as embeddings: vectors (K, P) float32, finite and not zero, a name for each; none like another.

    file : where they were read.
    """

    file: str
    names: tuple[str, ...]
    vectors: NDArray[np.float32]

    @property
    def identity(self) -> EmbeddingsIdentity:
        """sha256 over the names and the numbers in their order, the same from a file of either kind."""
        digest = hashlib.sha256(json.dumps([self.names, self.vectors.shape]).encode())
        digest.update(np.ascontiguousarray(self.vectors, dtype="<f4").data)
        return EmbeddingsIdentity(self.file, digest.hexdigest())

    def chosen(self, names: Sequence[str]) -> PromptEmbeddings:
        """Those of these names, in their order.

        Raises
        ------
        VLExplainError : one that there is not.
        """
        rows = {name: row for row, name in enumerate(self.names)}
        if missing := next((name for name in names if name not in rows), None):
            raise no_such(missing, self.names, self.file)
        distinct = list(dict.fromkeys(names))
        return PromptEmbeddings(self.file, tuple(distinct), self.vectors[[rows[name] for name in distinct]])


def no_such(name: str, names: Sequence[str], file: str) -> VLExplainError:
    """The error for a prompt that is none of ``names``, of which there may be thousands."""
    near = get_close_matches(name, names, n=3, cutoff=0.4) or names[:3]
    among = f"among its {len(names)} names are" if len(names) > len(near) else "it holds"
    return VLExplainError(
        f"There is no embedding in {file} for the prompt {name!r}; {among} {', '.join(map(repr, near))}."
    )


def read_embeddings(file: str | Path, prompts: Sequence[str] = ()) -> PromptEmbeddings:
    """Embeddings of prompts from a ``.npy`` or safetensors file.

    Parameters
    ----------
    file : a ``.npy`` of shape (K, P), or (P,) for one prompt; a safetensors file with one tensor of that shape, or
        with a tensor (P,) for each prompt under its name. Floats of any width.
    prompts : the prompts in the order of the rows, where the file does not name them. It does so by a tensor's name;
        by ``names``, a JSON list in a safetensors file's metadata; or by a file beside it of the same name that ends in
        ``.txt`` (a name a line) or ``.json`` (a list).

    Raises
    ------
    VLExplainError : no such file, another shape or dtype, numbers that are not finite, an embedding of zeros, a pickle,
        rows without names, or other names than rows.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise VLExplainError(f"There is no file {str(file)!r}; give the .npy or .safetensors file of the embeddings.")
    if path.suffix == ".npy":
        vectors, own = _npy(path), None
    elif path.suffix == ".safetensors":
        vectors, own = _safetensors(path)
    else:
        raise VLExplainError(f"{path} is no file of embeddings; give a .npy or a .safetensors file.")
    vectors = _checked(path, vectors)
    own = own or _names_beside(path)
    names = tuple(prompts) if own is None else own
    if not names:
        raise VLExplainError(
            f"{path} holds {len(vectors)} embeddings without names: give their prompts in the order of the rows, or "
            f"write them into {path.with_suffix(NAMES[0]).name} beside it, one a line."
        )
    if len(names) != len(vectors):
        whose = "prompts were given" if own is None else "names belong to it"
        raise VLExplainError(f"{path} holds {len(vectors)} embeddings, but {len(names)} {whose}: give one for each.")
    again, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise VLExplainError(f"{path} has the name {again!r} {times} times; give each embedding a name of its own.")
    return PromptEmbeddings(str(file), names, vectors)


def asked_of(
    file: str | Path, prompts: Sequence[str] | None, against: Sequence[str] = ()
) -> tuple[tuple[str, ...], PromptEmbeddings]:
    """The prompts that are asked for, and their embeddings with those of the prompts that they stand ``against``.

    None are all that the file names, but for the contrasts. Raises as :func:`read_embeddings`, and for other names.
    """
    found = read_embeddings(file, () if prompts is None else [*prompts, *against])
    asked = tuple(name for name in found.names if name not in against) if prompts is None else tuple(prompts)
    return asked, found.chosen([*asked, *against])


def _npy(path: Path) -> NDArray:
    try:
        # A map of the file claims no more memory than the file has bytes, whatever its header says.
        return np.lib.format.open_memmap(path, mode="r")
    except (ValueError, OSError, EOFError, OverflowError, MemoryError) as error:
        raise VLExplainError(
            f"{path} cannot be read as an array of numbers ({first_line(error).rstrip('.')}): it is damaged, or a "
            f"pickle, which is never run; {_SAVE} with numpy.save."
        ) from None


def _safetensors(path: Path) -> tuple[NDArray, tuple[str, ...] | None]:
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as opened:
            names = sorted(opened.keys())
            sizes = [int(np.prod(opened.get_slice(name).get_shape(), dtype=object)) for name in names]
            _refuse_many(path, sum(sizes))
            tensors = {name: opened.get_tensor(name) for name in names}
            listed = (opened.metadata() or {}).get("names")
    except VLExplainError:
        raise
    except Exception as error:  # safetensors has an error class of its own
        raise VLExplainError(f"{path} is damaged ({first_line(error).rstrip('.')}): copy it again.") from None
    own = None if listed is None else _listed(path, listed)
    if len(tensors) == 1 and (own is not None or next(iter(tensors.values())).ndim == 2):
        return _array(path, *tensors.values()), own
    rows = {name: _array(path, tensor) for name, tensor in tensors.items()}
    widths = {row.shape for row in rows.values()}
    if len(widths) != 1 or len(next(iter(widths))) != 1 or own is not None:
        raise VLExplainError(
            f"{path} holds tensors of the shapes {', '.join(map(str, sorted(widths))) or 'none'}, but one (prompts, "
            "width) is needed, or one (width,) for each prompt under its name."
        )
    return np.stack(list(rows.values())), tuple(rows)


def _array(path: Path, tensor: Tensor) -> NDArray:
    if not tensor.is_floating_point():
        raise VLExplainError(f"{path} holds {str(tensor.dtype).removeprefix('torch.')} numbers; {_SAVE}.")
    return tensor.double().numpy()


def _checked(path: Path, found: NDArray) -> NDArray[np.float32]:
    if found.dtype.kind != "f":
        raise VLExplainError(f"{path} holds {found.dtype.name} numbers; {_SAVE}.")
    vectors = found[None] if found.ndim == 1 else found
    if vectors.ndim != 2 or not vectors.size:
        raise VLExplainError(f"{path} has the shape {found.shape}; {_SAVE}.")
    _refuse_many(path, vectors.size)
    with np.errstate(over="ignore"):
        vectors = np.array(vectors, dtype=np.float32)
    for row, vector in enumerate(vectors):
        if not np.isfinite(vector).all():
            raise VLExplainError(
                f"Row {row} of {path} holds numbers that are not finite in float32; embed the prompt again."
            )
        if not vector.any():
            raise VLExplainError(f"Row {row} of {path} is all zeros, which points nowhere; embed the prompt again.")
    return vectors


def _refuse_many(path: Path, numbers: int) -> None:
    if numbers > MOST_NUMBERS:
        raise VLExplainError(
            f"{path} holds {numbers} numbers, but at most {MOST_NUMBERS} are read; save fewer prompts."
        )


def _names_beside(path: Path) -> tuple[str, ...] | None:
    for ending in NAMES:
        beside = path.with_suffix(ending)
        if not beside.is_file():
            continue
        try:
            text = beside.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError):
            raise VLExplainError(f"{beside} cannot be read as the names of embeddings; write it in UTF-8.") from None
        if ending == ".json":
            return _listed(beside, text)
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    return None


def _listed(path: Path, text: str) -> tuple[str, ...]:
    found: Any = None
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
    if not isinstance(found, list) or not found or not all(isinstance(name, str) and name.strip() for name in found):
        raise VLExplainError(f'The names of {path} are no JSON list of texts, such as ["a cat", "a dog"].')
    return tuple(found)
