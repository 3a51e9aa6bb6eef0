"""Images of every kind, good and bad."""

import contextlib
import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from digitspot.errors import DataError
from digitspot.images import decode_image, image_size, list_images

STORED = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 10


def rgb(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_header(width: int, height: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


class Foreign:
    """An array of another library."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self.pixels


def palette_with_transparency() -> Image.Image:
    image = Image.new("P", (1, 1), 1)
    image.putpalette([0, 0, 0, 200, 10, 20])
    image.info["transparency"] = 1
    return image


@pytest.mark.parametrize("size_hw", [(47, 104), (1, 1), (10, 20000), (20000, 10)])
def test_every_source_gives_the_same_pixels(size_hw: tuple[int, int], tmp_path: Path) -> None:
    pixels = rgb(*size_hw)
    data = encoded(Image.fromarray(pixels))
    path = tmp_path / "a.png"
    path.write_bytes(data)
    sources = (
        path,
        str(path),
        data,
        bytearray(data),
        memoryview(data),
        io.BytesIO(data),
        Image.fromarray(pixels),
    )
    for source in (*sources, pixels, Foreign(pixels), torch.from_numpy(pixels)):
        decoded = decode_image(source)
        assert decoded.dtype == np.uint8
        assert np.array_equal(decoded, pixels)
        assert decoded.flags.writeable
        assert not np.shares_memory(decoded, pixels)
    assert image_size(path) == size_hw


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, STORED),
        (2, STORED[:, ::-1]),
        (3, STORED[::-1, ::-1]),
        (4, STORED[::-1]),
        (5, STORED.transpose(1, 0, 2)),
        (6, np.rot90(STORED, -1)),  # what a telephone held upright writes
        (7, np.rot90(STORED, 2).transpose(1, 0, 2)),
        (8, np.rot90(STORED, 1)),
        (9, STORED),  # not an orientation: taken as upright
    ],
)
def test_exif_rotation_is_applied_once(
    kind: str, orientation: int, upright: np.ndarray, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned"
    path.write_bytes(encoded(Image.fromarray(STORED), kind, exif=exif, lossless=True))
    assert np.array_equal(decode_image(path), upright)
    assert image_size(path) == upright.shape[:2]
    with Image.open(path) as image:
        assert np.array_equal(decode_image(image), upright)


def test_broken_exif_does_not_lose_the_image() -> None:
    data = encoded(Image.fromarray(STORED), exif=b"Exif\x00\x00nonsense")
    assert np.array_equal(decode_image(data), STORED)


GREY_16 = np.array([[0, 257, 32896, 65535]], np.uint16)


@pytest.mark.parametrize(
    ("image", "first_pixel", "reason"),
    [
        (Image.new("L", (2, 1), 77), (77, 77, 77), "grey"),
        (Image.new("1", (2, 1), 1), (255, 255, 255), "1-bit"),
        (Image.new("LA", (2, 1), (0, 0)), (255, 255, 255), "transparent grey shows white"),
        (
            Image.fromarray(np.array([[[0, 0, 0, 0], [255, 255, 255, 255]]], np.uint8)),
            (0, 0, 0),
            "white on black",
        ),
        (
            Image.fromarray(np.array([[[0, 0, 0, 0], [255, 255, 0, 255]]], np.uint8)),
            (0, 0, 0),
            "yellow on black",
        ),
        (
            Image.fromarray(np.array([[[0, 0, 0, 0], [0, 0, 200, 255]]], np.uint8)),
            (255,) * 3,
            "blue on white",
        ),
        (Image.new("LA", (2, 1), (9, 255)), (9, 9, 9), "opaque grey with alpha"),
        (Image.new("RGBA", (2, 1), (0, 0, 0, 0)), (255, 255, 255), "hidden black does not come out"),
        (Image.new("RGBA", (2, 1), (200, 0, 0, 255)), (200, 0, 0), "opaque"),
        (Image.new("RGBA", (2, 1), (0, 0, 0, 51)), (204, 204, 204), "a fifth of black on white"),
        (palette_with_transparency(), (255, 255, 255), "palette, its colour transparent"),
        (Image.new("RGB", (1, 1), (200, 10, 20)).quantize(2), (200, 10, 20), "palette"),
        (Image.new("CMYK", (2, 1), (0, 255, 255, 0)), (255, 0, 0), "CMYK"),
        (Image.new("HSV", (2, 1), (0, 255, 255)), (255, 0, 0), "HSV"),
        (Image.fromarray(GREY_16[:, 2:]), (128, 128, 128), "16-bit grey, I;16"),
        (Image.fromarray(GREY_16[:, 2:].astype(np.int32)), (128, 128, 128), "16-bit grey, I"),
    ],
)
def test_every_mode_becomes_rgb(image: Image.Image, first_pixel: tuple[int, ...], reason: str) -> None:
    decoded = decode_image(image)
    assert decoded.shape == (image.height, image.width, 3)
    assert tuple(decoded[0, 0].tolist()) == first_pixel, reason


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 257, 32896, 65535], [0, 1, 128, 255]),
        ([0, 2048, 4095, 4080], [0, 128, 255, 254]),  # 12 bits of a camera
        ([0, 512, 1023, 1023], [0, 128, 255, 255]),  # 10 bits
        ([0, 100, 200, 255], [0, 100, 200, 255]),  # 8 bits, one byte each wasted
        ([0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_16_bit_png_scales_the_range_in_use(values: list[int], expected: list[int]) -> None:
    decoded = decode_image(encoded(Image.fromarray(np.array([values], np.uint16))))
    assert decoded[0, :, 0].tolist() == expected


@pytest.mark.parametrize(("value", "read"), [(0xC000, 0xC0), (0x0C00, None), (0, 0)])
def test_16_bit_colours_that_would_read_as_black_are_refused(value: int, read: int | None) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    pixel = chunk(b"IDAT", zlib.compress(b"\x00" + struct.pack(">3H", value, value, value)))
    data = b"\x89PNG\r\n\x1a\n" + header + pixel + chunk(b"IEND", b"")
    if read is None:
        with pytest.raises(DataError, match="16 bits a colour and uses at most 14"):
            decode_image(data)
    else:
        assert decode_image(data).tolist() == [[[read] * 3]]


def test_cmyk_jpeg_keeps_its_colours() -> None:
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert np.abs(decode_image(data)[8, 8].astype(int) - (255, 0, 0)).max() < 10


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((2, 3), 5, np.uint8), (5, 5, 5)),
        (np.full((2, 3, 1), 5, np.uint8), (5, 5, 5)),
        (np.zeros((2, 3, 4), np.uint8), (255, 255, 255)),
        (rgb(4, 9)[::2, ::3], tuple(rgb(4, 9)[0, 0].tolist())),
    ],
)
def test_arrays(array: np.ndarray, expected: tuple[int, ...]) -> None:
    decoded = decode_image(array)
    assert decoded.shape == (2, 3, 3)
    assert tuple(decoded[0, 0].tolist()) == expected


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 3, 3), np.float32),
        np.zeros((3, 2, 5), np.uint8),
        np.zeros((0, 3, 3), np.uint8),
        np.zeros(3, np.uint8),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"array of shape \[.*\] and type .* is not an image") as caught:
        decode_image(array)
    assert "uint8" in str(caught.value.hint)


PHOTO = Image.fromarray(rgb(40, 60))
JPEG, PNG = encoded(PHOTO, "JPEG"), encoded(PHOTO)
BROKEN_PNG = PNG[:60] + bytes(40) + PNG[100:]

BAD_FILES = [
    ("empty.png", b"", "empty.png: the file is empty"),
    ("text.jpg", b"not an image at all", "text.jpg: not an image"),
    ("cut.jpg", JPEG[: len(JPEG) // 2], "cut.jpg: the image is cut off"),
    ("cut.png", PNG[: len(PNG) // 2], "cut.png: the image is cut off"),
    ("head.jpg", JPEG[:10], r"head.jpg: (not an image|the image is cut off)"),
    ("broken.png", BROKEN_PNG, "broken.png: the image is broken"),
    ("bomb.png", png_header(30000, 30000), "bomb.png: the image has 900,000,000 pixels; at most 89,000,000"),
    (
        "large.png",
        png_header(10000, 10000),
        "large.png: the image has 100,000,000 pixels; at most 89,000,000",
    ),
    ("eps.jpg", encoded(Image.new("RGB", (2, 2)), "EPS"), "eps.jpg: not an image of a format that is read"),
    ("pdf.jpg", encoded(Image.new("RGB", (2, 2)), "PDF"), "pdf.jpg: not an image of a format that is read"),
    ("zero.png", png_header(0, 5), "zero.png: (not an image|the image is broken)"),
    ("float.tif", encoded(Image.new("F", (2, 2), 0.5), "TIFF"), "float.tif: .* floating-point"),
    ("deep.tif", encoded(Image.new("I", (2, 2), 70000), "TIFF"), "deep.tif: .* from 70000 to 70000"),
]


@pytest.mark.parametrize(("name", "data", "message"), BAD_FILES, ids=[row[0] for row in BAD_FILES])
def test_bad_files_are_named(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        decode_image(path)
    with pytest.raises(DataError, match=message.partition(": ")[2].replace("the file", "image: the file")):
        decode_image(data)


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA", "MPO"]
)
def test_every_documented_format_is_read(kind: str) -> None:
    pixels = np.asarray(PHOTO) // 64 * 64
    data = encoded(Image.fromarray(np.full_like(pixels, (200, 100, 0))), kind)
    assert np.abs(decode_image(data)[20, 30].astype(int) - (200, 100, 0)).max() < 8


@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_its_end_marker_is_read(missing: int) -> None:
    assert np.array_equal(decode_image(JPEG[:-missing]), decode_image(JPEG))
    assert np.array_equal(decode_image(PNG[:-12]), decode_image(PNG))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (JPEG[:-6], "a few pixels are missing"),
        (JPEG[:-40], "a block is missing"),
        (encoded(PHOTO, "JPEG", progressive=True)[:-2], "scans may be missing"),
    ],
)
def test_a_cut_jpeg_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(DataError, match="cut off") as caught:
        decode_image(data)
    assert "truncated" not in str(caught.value), reason


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (7, "int is not an image"),
        (None, "NoneType is not an image"),
        (io.StringIO("text"), "reading gives str"),
        ({"image": 1}, "dict is not an image"),
    ],
)
def test_other_sources_are_refused_with_what_is_taken(source: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        decode_image(source)  # type: ignore[arg-type]
    assert caught.value.hint


def test_a_pipe_is_read() -> None:
    reads, writes = os.pipe()
    with open(writes, "wb") as file:
        file.write(PNG)
    with open(reads, "rb") as pipe:
        assert np.array_equal(decode_image(pipe), np.asarray(PHOTO))


def test_every_way_to_cut_an_image_is_a_data_error() -> None:
    for data in (JPEG, encoded(PHOTO, "GIF"), encoded(PHOTO, "WEBP"), encoded(PHOTO, "TIFF")):
        for length in range(0, len(data) - 16, max(1, len(data) // 40)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with contextlib.suppress(DataError):  # any other error fails the test
                    decode_image(data[:length])


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for read in (decode_image, image_size):
        with pytest.raises(DataError, match=r"gone\.png: no such file"):
            read(tmp_path / "gone.png")
        with pytest.raises(DataError, match="is a folder, not an image"):
            read(tmp_path)
        with pytest.raises(DataError):
            read(Path("a\0b.png"))
    with pytest.raises(DataError, match="no such folder"):
        list_images(tmp_path / "gone")


def test_list_images_is_natural_and_names_what_it_skips(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / ".hidden").mkdir()
    names = ["1.jpg", "2.PNG", "10.png", "a9.webp", "a10.png", "b.jfif", "more/1.jpg", "more/2.avif"]
    for name in (*names, "._1.jpg", ".hidden/1.jpg", "more/notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "c").write_bytes(PNG)
    (tmp_path / "d.data").write_bytes(JPEG)
    (tmp_path / "e.jpg.eps").write_bytes(encoded(PHOTO, "EPS"))
    (tmp_path / "link").symlink_to(tmp_path / "more")
    listed = list_images(tmp_path)
    found = [path.relative_to(tmp_path).as_posix() for path in listed.paths]
    assert found == [*names[:6], "c", "d.data", *names[6:]]
    assert [path.name for path in listed.skipped] == ["e.jpg.eps", "link", "notes.txt"]
    with pytest.raises(DataError, match="is a file"):
        list_images(tmp_path / "1.jpg")
