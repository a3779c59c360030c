"""napari's reader of DICOM files and folders: layers with spacing in mm, the file's window, no patient data. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from ..errors import VLExplainError
from .dicom import DicomImage, read_dicom_image
from .dicom_header import frames_of, is_dicom, read_header
from .dicom_series import Series, holds_dicom, series_of
from .dicom_voi import record_of

KEY = "napari_vlexplain"
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
        return _file_layers(files[0]) if len(files) == 1 else [_stack_layer(Series(tuple(files)), files[0].stem)]
    place = Path(path).expanduser()
    return _folder_layers(place) if place.is_dir() else _file_layers(place)


def described(image: DicomImage, path: str | Path) -> dict[str, Any]:
    """What a layer's metadata keep of an image, as plain values; nothing about the patient."""
    return {
        "path": str(path),
        **asdict(image.identity),
        "windows": [record_of(voi) for voi in image.windows],
        "padding": None if image.padding is None else list(image.padding),
        "hounsfield": image.hounsfield,
        "warnings": list(image.warnings),
    }


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
    for number, series in enumerate(found, start=1):
        try:
            if len(series.files) == 1:
                layers += _file_layers(series.files[0])
            else:
                name = folder.name if len(found) == 1 else f"{folder.name} | series {number}"
                layers.append(_stack_layer(series, name))
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
    frames = frames_of(read_header(file))
    if frames == 1:
        image = read_dicom_image(file)
        return [_layer(image.pixels, image, file, file.stem, ())]
    middle = read_dicom_image(file, frames // 2)
    planes = [(file, number) for number in range(frames)]
    return [_layer(_lazy(planes, middle.pixels), middle, file, file.stem, (1.0,))]


def _stack_layer(series: Series, name: str) -> LayerData:
    """Planes that are read when they are shown; window and dtype are those of the middle one."""
    middle_file = series.files[len(series.files) // 2]
    middle = read_dicom_image(middle_file, 0)
    pixels = _lazy([(file, 0) for file in series.files], middle.pixels)
    layer = _layer(pixels, middle, middle_file, name, (series.step or 1.0,))
    if series.step and "units" in layer[1]:
        layer[1]["units"] = ("mm", "mm", "mm")
    return layer


def _lazy(planes: list[tuple[Path, int]], like: NDArray[Any]) -> Any:
    import dask
    import dask.array as da

    dtype = like.dtype if len({file for file, _ in planes}) == 1 else _common(planes, like.dtype)
    read = dask.delayed(_read_plane, pure=True)
    return da.stack(
        [da.from_delayed(read(file, number, like.shape, dtype), like.shape, dtype) for file, number in planes]
    )


def _common(planes: list[tuple[Path, int]], dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A dtype that holds every file's values: files of one series may be rescaled differently."""
    from .dicom_values import scale_of

    headers = [read_header(file) for file, _ in planes]
    scales = {scale_of(header, np.dtype(f"{'i' if header.get('PixelRepresentation') else 'u'}2")) for header in headers}
    return dtype if len(scales) == 1 else np.dtype(np.float32)


def _read_plane(file: Path, number: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    pixels = read_dicom_image(file, number).pixels
    if pixels.shape != shape:
        raise VLExplainError(f"{file.name} is {pixels.shape}, but the other planes of its stack are {shape}.")
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
    return pixels, options, "image"
