"""The typefaces of generated images: where they are, under which licence, and which are held out.

Every file comes with a package that pip installs, so nothing is downloaded and the same seed gives the same
images on every machine; a folder of one's own, or the system's, can be added. Whole families are held out
for the test split, not merely weights: a detector that knows Roboto Bold has seen most of Roboto Black.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fontTools.ttLib import TTFont, TTLibError
from PIL import ImageFont

from digitspot.errors import ConfigError, DigitspotError

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


def _typefaces(table: str) -> tuple[Typeface, ...]:
    """Return the typefaces of a table: family, package, licence, folder and files of each."""
    found = []
    for line in table.strip().splitlines():
        family, package, licence, folder, files = (cell.strip() for cell in line.split("|"))
        found += [
            Typeface(family=family, package=package, file=f"{folder}/{file}", licence=licence)
            for file in files.split()
        ]
    return tuple(found)


# fmt: off
TRAIN_TYPEFACES = _typefaces("""
DejaVu Sans      | matplotlib            | Bitstream-Vera       | mpl-data/fonts/ttf | DejaVuSans.ttf DejaVuSans-Bold.ttf DejaVuSans-BoldOblique.ttf DejaVuSansMono.ttf DejaVuSansMono-Bold.ttf
STIX General     | matplotlib            | OFL-1.1              | mpl-data/fonts/ttf | STIXGeneral.ttf STIXGeneralBol.ttf STIXGeneralBolIta.ttf
Computer Modern  | matplotlib            | BaKoMa Fonts Licence | mpl-data/fonts/ttf | cmb10.ttf cmr10.ttf cmss10.ttf cmtt10.ttf
Amatic SC        | font_amatic_sc        | OFL-1.1              | files | AmaticSC-Bold.ttf
Caladea          | font_caladea          | Apache-2.0           | files | Caladea-Regular.ttf Caladea-Bold.ttf Caladea-BoldItalic.ttf
Fredoka One      | font_fredoka_one      | OFL-1.1              | files | FredokaOne-Regular.ttf
Manrope          | font_manrope          | OFL-1.1              | files | Manrope-Light.ttf Manrope-Regular.ttf Manrope-SemiBold.ttf Manrope-ExtraBold.ttf
Source Sans Pro  | font_source_sans_pro  | OFL-1.1              | files | SourceSansPro-Light.ttf SourceSansPro-Regular.ttf SourceSansPro-Semibold.ttf SourceSansPro-Black.ttf SourceSansPro-SemiboldIt.ttf
Source Serif Pro | font_source_serif_pro | OFL-1.1              | files | SourceSerifPro-Regular.ttf SourceSerifPro-Semibold.ttf SourceSerifPro-Black.ttf SourceSerifPro-SemiboldIt.ttf
""")  # noqa: E501 - a table
"""What images of the train and valid splits are set in."""

TEST_TYPEFACES = _typefaces("""
DejaVu Serif     | matplotlib            | Bitstream-Vera       | mpl-data/fonts/ttf | DejaVuSerif.ttf DejaVuSerif-Bold.ttf DejaVuSerif-BoldItalic.ttf
Hanken Grotesk   | font_hanken_grotesk   | OFL-1.1              | files | HankenGrotesk-Light.otf HankenGrotesk-Medium.otf HankenGrotesk-Bold.otf HankenGrotesk-SemiBoldItalic.otf
Roboto           | font_roboto           | Apache-2.0           | files | Roboto-Regular.ttf Roboto-Medium.ttf Roboto-Bold.ttf Roboto-Black.ttf Roboto-MediumItalic.ttf
""")  # noqa: E501 - a table
"""What images of the test split are set in: families that no training image shows."""
# fmt: on


def typefaces_in(folder: Path) -> tuple[Typeface, ...]:
    """Return the fonts of a folder and what is below it that have ten different digits and capital letters.

    Families that are held out for the test split stay out.

    Raises:
        ConfigError: There is none.
    """
    found, held_out = [], tuple({typeface.family for typeface in TEST_TYPEFACES})
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".ttf", ".otf"):
            with suppress(OSError, ValueError, KeyError, TTLibError):
                typeface = _read_typeface(path)
                masks = {bytes(font_of_height(typeface, 40).getmask(c)) for c in "0123456789AENR"}
                if len(masks) == 14 and not typeface.family.startswith(held_out):
                    found.append(typeface)
    if not found:
        raise ConfigError(f"{folder} has no .ttf or .otf with ten digits and letters", hint=_SYSTEM_FOLDERS)
    return tuple(found)


def _read_typeface(path: Path) -> Typeface:
    """Read a font's family and licence from its name table."""
    with TTFont(path, lazy=True, fontNumber=0) as font:
        names = font["name"]
        licence = names.getDebugName(_LICENCE_ADDRESS) or names.getDebugName(_LICENCE) or "not stated"
        family = names.getDebugName(_FAMILY) or path.stem
    return Typeface(family=family, package="", file=str(path), licence=licence.splitlines()[0][:120])


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
