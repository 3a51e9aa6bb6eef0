"""Images of any kind to one kind: uint8 RGB, upright. The only place where an image is decoded."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from digitspot.errors import DataError
from digitspot.types import ImageArray

ImageSource = str | Path | bytes | Image.Image | np.ndarray
"""What `decode_image` takes: a path, a file's bytes, a Pillow image, or a uint8 array."""

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets an image upright, by its EXIF orientation (EXIF 2.32, table 4, tag 274)."""

_SAVE_AGAIN = "Open the image in a viewer and save it again as PNG or JPEG, or leave it out."


def decode_image(source: ImageSource) -> ImageArray:
    """Decode an image to upright uint8 RGB, `[H, W, 3]`, in an array of its own.

    Transparent pixels show white, as in a browser or a viewer: dropping the alpha channel
    instead would bring out hidden colours, most often black, and black digits would vanish.
    16-bit values are divided by 257, so that 65535 becomes 255. Of an animation, the first frame.

    Raises:
        DataError: The file is missing, empty, cut off, broken, too large or not an image.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        with _decoding("image"):
            return _to_rgb(source)
    if isinstance(source, bytes):
        name, data = "image", source
    else:
        name, data = str(source), _read(Path(source))
    if not data:
        raise DataError(f"{name}: the file is empty", hint=_SAVE_AGAIN)
    with _decoding(name), Image.open(io.BytesIO(data)) as image:
        return _to_rgb(image)


def image_size(path: Path) -> tuple[int, int]:
    """Return the (height, width) that `decode_image` would give, from the file's header alone.

    Raises:
        DataError: The file is missing, empty or not an image.
    """
    name = str(path)
    if _file_size(path) == 0:
        raise DataError(f"{name}: the file is empty", hint=_SAVE_AGAIN)
    with _decoding(name), Image.open(path) as image:
        width, height = image.size
        return (width, height) if _orientation(image) >= 5 else (height, width)


def exif_orientation(path: Path) -> int:
    """Return the EXIF orientation that `decode_image` undoes: 1 to 8, 1 for an upright image.

    Raises:
        DataError: The file is missing or not an image.
    """
    with _decoding(str(path)), Image.open(path) as image:
        return _orientation(image)


def list_images(folder: Path) -> list[Path]:
    """Return the images in a folder by name, "2.png" before "10.png"; hidden files are left out.

    Raises:
        DataError: There is no such folder.
    """
    require_folder(folder)
    named = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted((path for path in named if path.suffix.lower() in IMAGE_SUFFIXES), key=_natural)


def require_folder(folder: Path) -> None:
    """Raise a `DataError` where there is no such folder of images."""
    if not folder.is_dir():
        what = "is a file, not a folder of images" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {what}")


def _natural(path: Path) -> tuple[list[str | int], str]:
    parts = re.split(r"([0-9]+)", path.name.lower())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], path.name


def _read(path: Path) -> bytes:
    if _file_size(path) == 0:
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
        raise DataError(f"{path}: cannot be read: {error}") from error
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not an image")
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
        readable = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        raise DataError(f"{name}: not an image", hint=f"Readable are {readable}.") from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise DataError(
            f"{name}: too many pixels to decode: {error}", hint="Make it smaller first."
        ) from error
    except Exception as error:
        what = "cut off" if "truncated" in str(error).lower() else "broken"
        raise DataError(f"{name}: the image is {what}: {error}", hint=_SAVE_AGAIN) from error


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
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def _to_rgb(image: Image.Image) -> ImageArray:
    turn = _UPRIGHT.get(_orientation(image))
    image.load()
    if image.mode.startswith("I"):
        image = _from_16_bit(image)
    elif image.mode == "F":
        raise DataError("the image holds floating-point values", hint="Save it as 8 or 16 bit.")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        image = Image.alpha_composite(white, layer)
    if image.mode != "RGB":
        image = image.convert("RGB")
    if turn is not None:
        image = image.transpose(turn)
    return np.array(image, np.uint8)


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Scale a grey image of mode "I;16" or "I" (Pillow's older name for 16-bit PNG) to 8 bit."""
    values = np.asarray(image, np.int64)
    if values.min() < 0 or values.max() > 65535:
        low, high = int(values.min()), int(values.max())
        raise DataError(f"the image holds values from {low} to {high}", hint="Save it as 8 or 16 bit.")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _from_array(array: np.ndarray) -> ImageArray:
    """Accept uint8 `[H, W]`, `[H, W, 1]`, `[H, W, 3]` RGB and `[H, W, 4]` RGBA."""
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4) or not array.size:
        raise DataError(
            f"image: an array of shape {list(array.shape)} and type {array.dtype} is not an image",
            hint="Give uint8 [H, W], [H, W, 3] (RGB) or [H, W, 4] (RGBA), values 0 to 255.",
        )
    if channels == 3:
        return np.array(array, np.uint8, order="C")
    flat = array[:, :, 0] if array.ndim == 3 and channels == 1 else array
    return _to_rgb(Image.fromarray(np.ascontiguousarray(flat)))
