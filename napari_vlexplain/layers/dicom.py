"""napari's reader of DICOM files and folders: layers with spacing in mm, the file's window, no patient data. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from ..io.dicom.content import is_dicom
from ..io.dicom.header import frames_of, read_header
from ..io.dicom.image import DicomImage, read_dicom_image
from ..io.dicom.planes import Plane
from ..io.dicom.series import holds_dicom, series_of, stack_of_files, stacks_of_frames
from ..io.dicom.spacing import shape_of_pixels
from ..io.dicom.stack import Stack
from ..io.voi import record_of
from . import KEY

LayerData = tuple[Any, dict[str, Any], str]


def napari_get_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]] | None:
    """A reader for DICOM files and folders of them; None for everything else, after a look at a few bytes."""
    paths = [Path(one) for one in ([path] if isinstance(path, str | Path) else path)]
    return _read_or_say if paths and all(_is_ours(one) for one in paths) else None


def read_dicom_layers(path: str | Path | Sequence[str]) -> list[LayerData]:
    """Layer data of a file, of files that are planes of one stack, or of every series in a folder.

    Raises
    ------
    VLExplainError : a file cannot be read, or a folder holds no DICOM image.
    """
    if not isinstance(path, str | Path):
        files = [Path(one) for one in path]
        return _file_layers(files[0]) if len(files) == 1 else [_stack_layer(stack_of_files(files), files[0].stem)]
    place = Path(path).expanduser()
    return _folder_layers(place) if place.is_dir() else _file_layers(place)


def described(image: DicomImage, path: str | Path) -> dict[str, Any]:
    """What a layer's metadata keep of an image, as plain values; nothing about the patient."""
    return {
        "path": str(path),
        **asdict(image.identity),
        "windows": [record_of(window) for window in image.views],
        "limits": None if image.limits is None else list(image.limits),
        "padding": None if image.padding is None else list(image.padding),
        "hounsfield": image.hounsfield,
        "warnings": list(image.warnings),
    }


def frame_at(known: dict[str, Any], index: tuple[int, ...]) -> tuple[int, ...]:
    """Where a plane of a layer lies in its file, whose frames may be in another order; ``known`` by its metadata."""
    frames: Any = known.get("frames")
    try:
        for at in index:
            frames = frames[at]
    except (TypeError, IndexError):
        return index
    return (frames,) if index and isinstance(frames, int) else index


def _is_ours(path: Path) -> bool:
    return holds_dicom(path) if path.is_dir() else is_dicom(path)


def _read_or_say(path: Any) -> list[Any]:
    """A sentence in napari's own way, and no layer, for what cannot be read: its error dialog would hide the reason."""
    from napari.utils.notifications import show_error

    try:
        return read_dicom_layers(path)
    except VLExplainError as error:
        show_error(str(error))
        return [(None,)]


def _folder_layers(folder: Path) -> list[LayerData]:
    from napari.utils.notifications import show_warning

    found, left = series_of(folder)
    layers: list[LayerData] = []
    broken: list[str] = []
    for number, stack in enumerate(found, start=1):
        try:
            if len(stack.planes) == 1:
                layers += _file_layers(stack.planes[0].file)
            else:
                name = folder.name if len(found) == 1 else f"{folder.name} | series {number}"
                layers.append(_stack_layer(stack, name))
        except VLExplainError as error:
            broken.append(str(error))
    if not layers:
        why = broken[0] if broken else "Its DICOM files are of another kind." if left else "There is no DICOM file."
        raise VLExplainError(f"The folder {folder.name} holds no image that can be read. {why}")
    if left or broken:
        first = f" {broken[0]}" if broken else ""
        show_warning(f"{left + len(broken)} files of {folder.name} hold no image that can be read.{first}")
    return layers


def _file_layers(file: Path) -> list[LayerData]:
    header = read_header(file)
    if frames_of(header) == 1:
        image = read_dicom_image(file)
        _say(file.stem, image.otherwise)
        return [_layer(image.pixels, image, file, file.stem, ())]
    stacks = stacks_of_frames(file, header)
    names = [file.stem] if len(stacks) == 1 else [f"{file.stem} | stack {k}" for k in range(1, len(stacks) + 1)]
    return [_stack_layer(stack, name) for stack, name in zip(stacks, names, strict=True)]


def _stack_layer(stack: Stack, name: str) -> LayerData:
    """Planes that are read when they are shown; window and dtype are those of the middle one. What is amiss is told."""
    middle = stack.phases[0][len(stack.phases[0]) // 2]
    image = read_dicom_image(middle.file, middle.frame)
    image = replace(image, warnings=(*stack.told, *image.warnings))
    _say(name, *stack.told, image.otherwise)
    pixels, lead = _lazy(stack, image), ((1.0,) if len(stack.phases) > 1 else ())
    layer = _layer(pixels, image, middle.file, name, (*lead, stack.step or 1.0))
    if stack.step and "units" in layer[1]:
        layer[1]["units"] = (*("pixel" for _ in lead), "mm", "mm", "mm")
    places = [[plane.place for plane in phase] for phase in stack.phases]
    known = layer[1]["metadata"][KEY]["dicom"]
    known["places"] = places if len(places) > 1 else places[0]
    if len({plane.file for plane in stack.planes}) == 1:
        frames = [[plane.frame for plane in phase] for phase in stack.phases]
        known["frames"] = frames if len(frames) > 1 else frames[0]
    return layer


def _say(name: str, *told: str) -> None:
    """What nobody would expect of a picture, unasked."""
    from napari.utils.notifications import show_warning

    if any(told):
        show_warning(f"{name}: {' '.join(filter(None, told))}")


def _lazy(stack: Stack, like: DicomImage) -> Any:
    """(planes, H, W), of several phases (phases, planes, H, W)."""
    import dask
    import dask.array as da

    shape, dtype = like.pixels.shape, like.pixels.dtype
    if like.curve is None and len({plane.file for plane in stack.planes}) > 1:
        dtype = _common(stack, dtype)
    read = dask.delayed(_read_plane, pure=True)
    top = None if like.curve is None or like.limits is None else like.limits[1]

    def one(plane: Plane) -> Any:
        return da.from_delayed(read(plane.file, plane.frame, shape, dtype, top), shape, dtype)

    phases = [da.stack([one(plane) for plane in phase]) for phase in stack.phases]
    return da.stack(phases) if len(phases) > 1 else phases[0]


def _common(stack: Stack, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A dtype that holds every file's values: files of one series may be rescaled differently."""
    from ..io.dicom.decoding import is_signed
    from ..io.dicom.values import scale_of

    headers = [read_header(file) for file in dict.fromkeys(plane.file for plane in stack.planes)]
    scales = {scale_of(header, np.dtype(f"{'i' if is_signed(header) else 'u'}2")) for header in headers}
    return dtype if len(scales) == 1 else np.dtype(np.float32)


def _read_plane(
    file: Path, frame: int, shape: tuple[int, ...], dtype: np.dtype[Any], top: float | None
) -> NDArray[Any]:
    """``top`` : the white of a stack that is shown through curves; None for one of values."""
    image = read_dicom_image(file, frame, values=top is None)
    pixels = image.pixels
    if pixels.shape != shape:
        raise VLExplainError(f"{file.name} is {pixels.shape}, but the other planes of its stack are {shape}.")
    if top is not None and (image.curve is None or image.limits != (0, top)):
        pixels = np.rint(image.presented() * np.float32(top))
    return pixels.astype(dtype, copy=False)


def _layer(pixels: Any, image: DicomImage, path: Path, name: str, lead: tuple[float, ...]) -> LayerData:
    """``lead``: the scale of the axis in front of rows and columns, if there is one."""
    known = {"id": str(uuid4()), "kind": "source", "source": None, "dicom": described(image, path)}
    options: dict[str, Any] = {"name": name, "rgb": image.limits is None, "metadata": {KEY: known}}
    if image.limits is not None:
        options |= {"contrast_limits": image.limits, "colormap": "gray"}
    if image.spacing is not None:
        options["scale"] = (*lead, *image.spacing)
        options["units"] = (*("pixel" for _ in lead), "mm", "mm")
    elif image.aspect is not None:
        options["scale"] = (*lead, *shape_of_pixels(image.aspect))
    return pixels, options, "image"
