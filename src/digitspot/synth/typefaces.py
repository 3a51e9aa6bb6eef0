"""The typefaces of generated images: where they are, under which licence, and which are held out.

Every file comes with a package that pip installs, so nothing is downloaded and the same seed gives the same
images on every machine; a folder of one's own, or the system's, can be added. Whole families are held out
for the test split, not merely weights: a detector that knows Roboto Bold has seen most of Roboto Black.

| family | package | licence | split |
| --- | --- | --- | --- |
| DejaVu Sans, DejaVu Sans Mono | matplotlib | Bitstream-Vera | train, valid |
| STIX General | matplotlib | OFL-1.1 | train, valid |
| Computer Modern: cmb10, cmr10, cmss10, cmtt10 | matplotlib | BaKoMa Fonts Licence | train, valid |
| Amatic SC | font-amatic-sc | OFL-1.1 | train, valid |
| Caladea | font-caladea | Apache-2.0 | train, valid |
| Fredoka One | font-fredoka-one | OFL-1.1 | train, valid |
| Manrope | font-manrope | OFL-1.1 | train, valid |
| Source Sans Pro | font-source-sans-pro | OFL-1.1 | train, valid |
| Source Serif Pro | font-source-serif-pro | OFL-1.1 | train, valid |
| DejaVu Serif | matplotlib | Bitstream-Vera | test |
| Hanken Grotesk | font-hanken-grotesk | OFL-1.1 | test |
| Roboto | font-roboto | Apache-2.0 | test |
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

from digitspot.errors import ConfigError, DigitspotError

_MATPLOTLIB_FOLDER = "mpl-data/fonts/ttf"
_MEASURING_SIZE = 200
_FAMILY, _LICENCE, _LICENCE_ADDRESS = 1, 13, 14
"""Name ids of the OpenType specification."""
_SYSTEM_FOLDERS = "The system's are in /usr/share/fonts, /System/Library/Fonts or C:/Windows/Fonts."


@dataclass(frozen=True, kw_only=True)
class Typeface:
    """One font file.

    Attributes:
        family: The design it belongs to; weights and slopes of a family share it.
        package: The importable package that ships it; empty for a file of one's own.
        file: Its path inside that package.
        licence: SPDX id, or the licence's name where there is none.
    """

    family: str
    package: str
    file: str
    licence: str

    @property
    def path(self) -> Path:
        """Where the file is.

        Raises:
            DigitspotError: The package that ships it is not installed.
        """
        return _package_folder(self.package) / self.file if self.package else Path(self.file)


def _family(
    family: str, package: str, licence: str, folder: str, files: str, suffix: str = ".ttf"
) -> tuple[Typeface, ...]:
    """List the typefaces of a family; `files` are names without the suffix, separated by blanks."""
    return tuple(
        Typeface(family=family, package=package, file=f"{folder}/{file}{suffix}", licence=licence)
        for file in files.split()
    )


TRAIN_TYPEFACES: tuple[Typeface, ...] = (
    *_family(
        "DejaVu Sans",
        "matplotlib",
        "Bitstream-Vera",
        _MATPLOTLIB_FOLDER,
        "DejaVuSans DejaVuSans-Bold DejaVuSans-BoldOblique DejaVuSansMono DejaVuSansMono-Bold",
    ),
    *_family(
        "STIX General",
        "matplotlib",
        "OFL-1.1",
        _MATPLOTLIB_FOLDER,
        "STIXGeneral STIXGeneralBol STIXGeneralBolIta",
    ),
    *_family(
        "Computer Modern",
        "matplotlib",
        "BaKoMa Fonts Licence",
        _MATPLOTLIB_FOLDER,
        "cmb10 cmr10 cmss10 cmtt10",
    ),
    *_family("Amatic SC", "font_amatic_sc", "OFL-1.1", "files", "AmaticSC-Bold"),
    *_family(
        "Caladea", "font_caladea", "Apache-2.0", "files", "Caladea-Regular Caladea-Bold Caladea-BoldItalic"
    ),
    *_family("Fredoka One", "font_fredoka_one", "OFL-1.1", "files", "FredokaOne-Regular"),
    *_family(
        "Manrope",
        "font_manrope",
        "OFL-1.1",
        "files",
        "Manrope-Light Manrope-Regular Manrope-SemiBold Manrope-ExtraBold",
    ),
    *_family(
        "Source Sans Pro",
        "font_source_sans_pro",
        "OFL-1.1",
        "files",
        "SourceSansPro-Light SourceSansPro-Regular SourceSansPro-Semibold SourceSansPro-Black "
        "SourceSansPro-SemiboldIt",
    ),
    *_family(
        "Source Serif Pro",
        "font_source_serif_pro",
        "OFL-1.1",
        "files",
        "SourceSerifPro-Regular SourceSerifPro-Semibold SourceSerifPro-Black SourceSerifPro-SemiboldIt",
    ),
)
"""What the images of the train and valid splits are set in."""

TEST_TYPEFACES: tuple[Typeface, ...] = (
    *_family(
        "DejaVu Serif",
        "matplotlib",
        "Bitstream-Vera",
        _MATPLOTLIB_FOLDER,
        "DejaVuSerif DejaVuSerif-Bold DejaVuSerif-BoldItalic",
    ),
    *_family(
        "Hanken Grotesk",
        "font_hanken_grotesk",
        "OFL-1.1",
        "files",
        "HankenGrotesk-Light HankenGrotesk-Medium HankenGrotesk-Bold HankenGrotesk-SemiBoldItalic",
        ".otf",
    ),
    *_family(
        "Roboto",
        "font_roboto",
        "Apache-2.0",
        "files",
        "Roboto-Regular Roboto-Medium Roboto-Bold Roboto-Black Roboto-MediumItalic",
    ),
)
"""What the images of the test split are set in: families that no training image shows."""


def typefaces_in(folder: Path) -> tuple[Typeface, ...]:
    """Return the fonts of a folder and what is below it that have ten different digits and capital letters.

    Families that are held out for the test split stay out.

    Raises:
        ConfigError: There is none.
    """
    found, held_out = [], tuple({typeface.family for typeface in TEST_TYPEFACES})
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".ttf", ".otf"):
            with suppress(OSError, ValueError, struct.error, StopIteration):
                typeface = _read_typeface(path)
                masks = {bytes(font_of_height(typeface, 40).getmask(c)) for c in "0123456789AENR"}
                if len(masks) == 14 and not typeface.family.startswith(held_out):
                    found.append(typeface)
    if not found:
        raise ConfigError(f"{folder} has no .ttf or .otf with ten digits and letters", hint=_SYSTEM_FOLDERS)
    return tuple(found)


def _read_typeface(path: Path) -> Typeface:
    """Read a font's family and licence from its `name` table (OpenType 1.9, "name")."""
    content = path.read_bytes()
    num_tables = struct.unpack_from(">H", content, 4)[0]
    tables = [struct.unpack_from(">4sLLL", content, 12 + 16 * row) for row in range(num_tables)]
    start = next(offset for tag, _, offset, _ in tables if tag == b"name")
    _, count, storage = struct.unpack_from(">HHH", content, start)
    names: dict[int, str] = {}
    for row in range(count):
        platform, _, _, name, length, at = struct.unpack_from(">6H", content, start + 6 + 12 * row)
        raw = content[start + storage + at : start + storage + at + length]
        names.setdefault(name, raw.decode("latin-1" if platform == 1 else "utf-16-be", "replace"))
    licence = (names.get(_LICENCE_ADDRESS) or names.get(_LICENCE) or "not stated").splitlines()[0][:120]
    return Typeface(family=names.get(_FAMILY, path.stem), package="", file=str(path), licence=licence)


def require_typefaces(typefaces: Iterable[Typeface]) -> None:
    """Raise a `DigitspotError` unless every typeface is installed, before any work starts."""
    for typeface in typefaces:
        if not typeface.path.is_file():
            raise DigitspotError(
                f"{typeface.path}: {typeface.package} does not have this file of {typeface.family}",
                hint="Install the typefaces again: pip install --force-reinstall 'digitspot[synth]'",
            )


@lru_cache(maxsize=128)
def font_of_height(typeface: Typeface, digit_height: int) -> ImageFont.FreeTypeFont:
    """Load a typeface at the size whose digit 0 is about `digit_height` pixels high.

    Raises:
        ValueError: It has no digit 0.
    """
    measuring = _load(typeface, _MEASURING_SIZE)
    _, top, _, bottom = measuring.getbbox("0", anchor="ls")
    if bottom <= top:
        raise ValueError(f"{typeface.path} has no digit 0")
    return _load(typeface, max(1, round(digit_height * _MEASURING_SIZE / (bottom - top))))


def _load(typeface: Typeface, size: int) -> ImageFont.FreeTypeFont:
    """Load with Pillow's own layout, so that images do not depend on an installed libraqm."""
    return ImageFont.truetype(str(typeface.path), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=32)
def _package_folder(package: str) -> Path:
    """Find a package's folder without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DigitspotError(
            f"the typefaces of generated images are not installed: no package {package.replace('_', '-')}",
            hint="Install them: pip install 'digitspot[synth]'",
        )
    return Path(spec.submodule_search_locations[0])
