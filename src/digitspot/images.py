"""Images of any kind to one kind: uint8 RGB, upright. The only place where an image is decoded."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from digitspot.errors import DataError
from digitspot.types import ImageArray

ImageSource = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Image.Image | npt.ArrayLike
)
"""What `decode_image` takes: a path, a file's bytes (or bytearray, memoryview), an open file or pipe, a
Pillow image, a uint8 array, or any object with `__array__` that gives one."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA")
"""Pillow's names of the formats that are read, everywhere. JPEG includes MPO.

EPS and PDF are not among them: Pillow starts Ghostscript for those. TGA has no signature, so it is last.
"""

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".j2c", ".j2k", ".jfif",
    ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pgm",
    ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
})
# fmt: on
"""Endings of the files that hold `FORMATS`; files with others are looked into."""

MAX_PIXELS = 89_000_000
"""Larger images are refused before they are decoded. One of this size takes about 700 MB meanwhile."""

_TAKES = (
    "Give a path, the bytes of a file, an open file, a Pillow image, "
    "or uint8 values 0 to 255 of shape [H, W], [H, W, 3] (RGB) or [H, W, 4] (RGBA)."
)
_SAVE_AGAIN = "Open the image in a viewer and save it again as PNG or JPEG, or leave it out."
READABLE = "Readable are JPEG, PNG, WebP, BMP, GIF, TIFF, PPM, AVIF, JPEG 2000 and TGA."
_ORIENTATION = 0x0112
_RANGES_16_BIT = (255, 1023, 4095, 16383, 65535)
"""Cameras put 8, 10, 12, 14 or 16 bits into 16."""
_SIGNATURES = tuple(name for name in FORMATS if name != "TGA")


def decode_image(source: ImageSource) -> ImageArray:
    """Decode an image to upright uint8 RGB, `[H, W, 3]`, in an array of its own.

    Of an animation, the first image is taken. Transparent pixels become white, or black where the
    opaque pixels are brighter than middle grey, so that digits contrast with them. Of 16-bit grey images,
    the largest value tells whether 8, 10, 12, 14 or 16 bits are in use; that range becomes 0 to 255.

    Raises:
        DataError: The file is missing, empty, cut off, broken, too large or not an image.
    """
    if isinstance(source, Image.Image):
        with _decoding("image"):
            return _to_rgb(source)
    name, data = _bytes_of(source)
    if data is None:
        return _from_array(source)
    if not data:
        raise DataError(f"{name}: the file is empty", hint=_SAVE_AGAIN)
    with _decoding(name):
        try:
            return _decode(data)
        except OSError as error:
            if "truncated" in str(error) and data.startswith(b"\xff\xd8"):
                return _decode_without_end(data)
            raise


def image_size(path: Path) -> tuple[int, int]:
    """Return the (height, width) that `decode_image` would give, from the file's header alone.

    Raises:
        DataError: The file is missing, empty, too large or not an image.
    """
    name = str(path)
    if _file_size(path) == 0:
        raise DataError(f"{name}: the file is empty", hint=_SAVE_AGAIN)
    with _decoding(name), Image.open(path, formats=FORMATS) as image:
        _require_few_pixels(image.width * image.height)
        width, height = image.size
        return (width, height) if _orientation(image) >= 5 else (height, width)


def num_pixels(data: bytes) -> int:
    """Return how many pixels the image in a file's bytes has, from its header alone.

    Raises:
        DataError: They are not an image.
    """
    with _decoding("image"), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return image.width * image.height


def exif_orientation(path: Path) -> int:
    """Return the EXIF orientation that `decode_image` undoes: 1 to 8, 1 for an upright image.

    Raises:
        DataError: The file is missing or not an image.
    """
    with _decoding(str(path)), Image.open(path, formats=FORMATS) as image:
        return _orientation(image)


@dataclass(frozen=True)
class ListedImages:
    """What a folder holds.

    Attributes:
        paths: The images, also of subfolders, in natural order: "2.png" before "10.png".
        skipped: Other files, and links to folders, which are not followed. Hidden files count as neither.
    """

    paths: list[Path]
    skipped: list[Path]


def list_images(folder: Path) -> ListedImages:
    """List the images in a folder and its subfolders, by their endings, else by their content.

    Raises:
        DataError: There is no such folder, or a folder cannot be read.
    """
    require_folder(folder)
    paths: list[Path] = []
    skipped: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=refuse_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        skipped += [Path(parent, name) for name in folders if Path(parent, name).is_symlink()]
        for path in (Path(parent, name) for name in names if not name.startswith(".")):
            (paths if is_image(path) else skipped).append(path)
    return ListedImages(sorted(paths, key=natural_order), sorted(skipped, key=natural_order))


def refuse_folder(error: OSError) -> None:
    """Raise a `DataError` for a folder that `os.walk` would leave out."""
    raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error


def require_folder(folder: Path) -> None:
    """Raise a `DataError` where there is no such folder of images."""
    if not folder.is_dir():
        what = "is a file, not a folder of images" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {what}")


def is_image(path: Path) -> bool:
    """Say whether a file is an image that can be read: by its ending, else by its content."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        with Image.open(path, formats=_SIGNATURES):
            return True
    except Image.DecompressionBombError:
        return True  # to be refused by name
    except Exception:  # Pillow's plugins raise nearly anything
        return False


def natural_order(path: PurePath | str) -> tuple[list[str | int], str]:
    """Return the key that sorts "2.png" before "10.png"."""
    parts = re.split(r"([0-9]+)", str(path).lower())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], str(path)


def _bytes_of(source: ImageSource) -> tuple[str, bytes | None]:
    """Return the name of a source for messages, and its content; None for one that holds pixels."""
    if isinstance(source, bytes | bytearray | memoryview):
        return "image", bytes(source)
    if isinstance(source, str | os.PathLike):
        return os.fspath(source), _read(Path(source))
    if hasattr(source, "read"):
        name = getattr(source, "name", "image")
        name = name if isinstance(name, str) else "image"
        try:
            data = source.read()
        except OSError as error:
            raise DataError(f"{name}: cannot be read: {error.strerror or error}") from error
        if not isinstance(data, bytes):
            raise DataError(f"{name}: reading gives {type(data).__name__}", hint='Open the file with "rb".')
        return name, data
    return "image", None


def _read(path: Path) -> bytes:
    if _file_size(path) == 0 and path.is_file():
        return b""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _file_size(path: Path) -> int:
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not an image", hint="`digitspot predict` reads folders.")
    return size


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turn whatever the decoder raises into a `DataError` that names the image.

    On broken input Pillow's plugins raise nearly anything (OSError, SyntaxError, struct.error,
    IndexError ...), so all of it is caught; the cause stays attached.
    """
    try:
        yield
    except DataError as error:
        raise DataError(f"{name}: {error}", hint=error.hint) from error
    except UnidentifiedImageError as error:
        raise DataError(f"{name}: not an image of a format that is read", hint=READABLE) from error
    except Image.DecompressionBombError as error:
        found = re.search(r"\d+", str(error))
        problem = _too_many_pixels(int(found[0]) if found else 2 * MAX_PIXELS)
        raise DataError(f"{name}: {problem}", hint=problem.hint) from error
    except MemoryError as error:
        raise DataError(
            f"{name}: too little memory to decode the image", hint="Make the image smaller."
        ) from error
    except Exception as error:
        what = "cut off" if "truncated" in str(error).lower() else "broken"
        raise DataError(f"{name}: the image is {what}", hint=_SAVE_AGAIN) from error


def _require_few_pixels(num: int) -> None:
    if num > MAX_PIXELS:
        raise _too_many_pixels(num)


def _too_many_pixels(num: int) -> DataError:
    return DataError(
        f"the image has {num:,} pixels; at most {MAX_PIXELS:,} are decoded", hint="Make the image smaller."
    )


def _decode(data: bytes) -> ImageArray:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return _to_rgb(image)


def _decode_without_end(data: bytes) -> ImageArray:
    """Decode a JPEG without its end marker; a progressive one is refused, since scans may be missing.

    libjpeg fills missing pixels without a word. So two different fillings are appended: where all pixels
    are there, neither is used.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        progressive = "progressive" in image.info
    data = data.rstrip(b"\xff")
    zeros, others = (_decode(data + filling * 4096 + b"\xff\xd9") for filling in (b"\x00", b"\x6a\xb5"))
    if progressive or not np.array_equal(zeros, others):
        raise OSError("truncated")
    return zeros


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) where there is none or it is broken.

    Pillow turns TIFF by itself. For PNG the base class is asked, since PngImageFile's own method
    decodes the whole image; so EXIF that stands after the pixels is not seen, here and in decoding.
    """
    if image.format == "TIFF":
        return 1
    try:
        value = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # A broken EXIF block is no reason to lose the image.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _to_rgb(image: Image.Image) -> ImageArray:
    _require_few_pixels(image.width * image.height)
    turned = _orientation(image) > 1
    raw_modes = str([tile[3] for tile in getattr(image, "tile", [])])
    image.load()
    if turned:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = _from_16_bit(image)
    elif image.mode == "F":
        raise DataError("the image holds floating-point values", hint="Save it as 8 or 16 bit.")
    if image.has_transparency_data:
        image = _on_contrast(image.convert("RGBA"))
    if image.mode != "RGB":
        image = image.convert("RGB")
    pixels = np.array(image, np.uint8)
    if ";16" in raw_modes and pixels.ndim == 3 and 0 < pixels.max() < 64:
        raise DataError(
            "the image has 16 bits a colour and uses at most 14 of them", hint="Save it with 8 bits a colour."
        )
    return pixels


def _on_contrast(image: Image.Image) -> Image.Image:
    """Put an RGBA image on white; on black where its opaque pixels are brighter than middle grey."""
    alpha = np.asarray(image.getchannel("A"), np.float64)
    brightness = np.asarray(image.convert("RGB").convert("L"), np.float64)
    bright = (brightness * alpha).sum() > 127.5 * alpha.sum()
    return Image.alpha_composite(Image.new("RGBA", image.size, "black" if bright else "white"), image)


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Scale a grey image of mode "I;16" or "I" (Pillow's older name for 16-bit PNG) to 8 bit."""
    values = np.asarray(image, np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise DataError(f"the image holds values from {low} to {high}", hint="Save it as 8 or 16 bit.")
    white = next(end for end in _RANGES_16_BIT if high <= end)
    return Image.fromarray(((values * 510 + white) // (2 * white)).astype(np.uint8))


def _from_array(source: ImageSource) -> ImageArray:
    """Accept uint8 `[H, W]`, `[H, W, 1]`, `[H, W, 3]` RGB and `[H, W, 4]` RGBA."""
    if not hasattr(source, "__array__") and not hasattr(source, "__array_interface__"):
        raise DataError(f"image: {type(source).__name__} is not an image", hint=_TAKES)
    try:
        array = np.asarray(source)
    except Exception as error:  # of a foreign library
        raise DataError(f"image: {type(source).__name__} gives no array", hint=_TAKES) from error
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4) or not array.size:
        raise DataError(
            f"image: an array of shape {list(array.shape)} and type {array.dtype} is not an image",
            hint=_TAKES,
        )
    if channels == 3:
        return np.array(array, np.uint8, order="C")
    flat = array[:, :, 0] if array.ndim == 3 and channels == 1 else array
    return _to_rgb(Image.fromarray(np.ascontiguousarray(flat)))
