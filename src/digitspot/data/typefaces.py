"""The typefaces of generated plates: where they are, under which licence, and which are held out.

Every file comes with a package that pip installs, so nothing is downloaded and nothing depends on
the fonts of the machine. Whole families are held out for the test split, not merely weights: a
detector that knows Roboto Bold has seen most of Roboto Black.

| family | package | licence | split |
| --- | --- | --- | --- |
| DejaVu Sans, DejaVu Sans Mono | matplotlib | Bitstream-Vera | train, valid |
| STIX General | matplotlib | OFL-1.1 | train, valid |
| Computer Modern: cmb10, cmr10, cmss10, cmtt10 | matplotlib | BaKoMa Fonts Licence | train, valid |
| Fredoka One | font-fredoka-one | OFL-1.1 | train, valid |
| Source Serif Pro | font-source-serif-pro | OFL-1.1 | train, valid |
| DejaVu Serif | matplotlib | Bitstream-Vera | test |
| Roboto | font-roboto | Apache-2.0 | test |
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

from digitspot.errors import DigitspotError

_MATPLOTLIB_FOLDER = "mpl-data/fonts/ttf"
_MEASURING_SIZE = 200


@dataclass(frozen=True, kw_only=True)
class Typeface:
    """One font file.

    Attributes:
        family: The design it belongs to; weights and slopes of a family share it.
        package: The importable package that ships it.
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
        return _package_folder(self.package) / self.file


def _family(family: str, package: str, licence: str, folder: str, files: str) -> tuple[Typeface, ...]:
    """List the typefaces of a family; `files` are names without the `.ttf`, separated by blanks."""
    return tuple(
        Typeface(family=family, package=package, file=f"{folder}/{file}.ttf", licence=licence)
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
    *_family("Fredoka One", "font_fredoka_one", "OFL-1.1", "files", "FredokaOne-Regular"),
    *_family(
        "Source Serif Pro",
        "font_source_serif_pro",
        "OFL-1.1",
        "files",
        "SourceSerifPro-Regular SourceSerifPro-Semibold SourceSerifPro-Black SourceSerifPro-SemiboldIt",
    ),
)
"""What the pictures of the train and valid splits are set in."""

TEST_TYPEFACES: tuple[Typeface, ...] = (
    *_family(
        "DejaVu Serif",
        "matplotlib",
        "Bitstream-Vera",
        _MATPLOTLIB_FOLDER,
        "DejaVuSerif DejaVuSerif-Bold DejaVuSerif-BoldItalic",
    ),
    *_family(
        "Roboto",
        "font_roboto",
        "Apache-2.0",
        "files",
        "Roboto-Regular Roboto-Medium Roboto-Bold Roboto-Black Roboto-MediumItalic",
    ),
)
"""What the pictures of the test split are set in: families that no training picture shows."""


def require_typefaces(typefaces: Iterable[Typeface]) -> None:
    """Raise a `DigitspotError` unless every typeface is installed, before any work starts."""
    for typeface in typefaces:
        if not typeface.path.is_file():
            raise DigitspotError(
                f"{typeface.path}: {typeface.package} does not have this file of {typeface.family}",
                hint="Install the typefaces again: pip install --force-reinstall 'digitspot[synth]'",
            )


@lru_cache(maxsize=64)
def font_of_height(typeface: Typeface, digit_height: int) -> ImageFont.FreeTypeFont:
    """Load a typeface at the size whose digit 0 is about `digit_height` pixels high."""
    measuring = _load(typeface, _MEASURING_SIZE)
    _, top, _, bottom = measuring.getbbox("0", anchor="ls")
    return _load(typeface, max(1, round(digit_height * _MEASURING_SIZE / (bottom - top))))


def _load(typeface: Typeface, size: int) -> ImageFont.FreeTypeFont:
    """Load with Pillow's own layout, so that pictures do not depend on an installed libraqm."""
    return ImageFont.truetype(str(typeface.path), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=8)
def _package_folder(package: str) -> Path:
    """Find a package's folder without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DigitspotError(
            f"the typefaces of generated pictures are not installed: no package {package.replace('_', '-')}",
            hint="Install them: pip install 'digitspot[synth]'",
        )
    return Path(spec.submodule_search_locations[0])
