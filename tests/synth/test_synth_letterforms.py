"""Letterforms: ten different digits in every one, licences named, test families held out."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest

from digitspot.errors import ConfigError, DigitspotError
from digitspot.synth import generate
from digitspot.synth.displays import BLANK, DotFace, SegmentFace
from digitspot.synth.generate import SynthRequest
from digitspot.synth.lettering import EM, Face, FontFace, Stencil
from digitspot.synth.strokes import choose_strokes
from digitspot.synth.typefaces import TEST_TYPEFACES, TRAIN_TYPEFACES, Typeface, font_of_height, typefaces_in
from digitspot.synth.write import synthesize

DIGITS = "0123456789"
SEGMENTS = SegmentFace(width=0.5, weight=0.12, gap=0.02, slant=0.1, tails=True)
DOTS = DotFace(fill=0.8, is_round=True)
FACES: dict[str, Face] = {
    "segments": SEGMENTS,
    "segments without tails": SegmentFace(width=0.6, weight=0.1, gap=0.03, slant=0.0, tails=False),
    "dots": DOTS,
    "square dots": DotFace(fill=1.0, is_round=False),
    "stencil": Stencil(FontFace(TRAIN_TYPEFACES[0]), 0.07),
    **{f"pen {seed}": choose_strokes(np.random.default_rng(seed)) for seed in range(25)},
}


@pytest.mark.parametrize("name", FACES)
def test_ten_different_digits_of_about_one_height(name: str) -> None:
    shapes = [FACES[name].shape(digit) for digit in DIGITS]
    assert len({shape.mask.tobytes() for shape in shapes}) == 10
    for shape in shapes:
        height = np.ptp(shape.outline[:, 1])
        assert 0.75 * EM < height < 1.12 * EM
        assert np.ptp(shape.outline[:, 0]) <= 1.3 * EM
        assert shape.advance > 0


def test_segments_light_up_as_displays_do() -> None:
    """How much is lit, in segments: 6, 2, 5, 5, 4, 5, 6, 3, 7, 6."""
    ink = [np.asarray(SEGMENTS.shape(digit).mask, np.float64).sum() for digit in DIGITS]
    whole = np.asarray(SEGMENTS.shape(BLANK).mask, np.float64).sum()
    np.testing.assert_allclose(np.array(ink) / whole * 7, [6, 2, 5, 5, 4, 5, 6, 3, 7, 6], atol=0.35)


@pytest.mark.parametrize("face", [SEGMENTS, DOTS], ids=["segments", "dots"])
def test_what_is_lit_is_part_of_all_there_is(face: Face) -> None:
    every = np.asarray(face.shape(BLANK).mask) > 128
    assert all((every | ~(np.asarray(face.shape(digit).mask) > 128)).all() for digit in DIGITS)


def test_a_stencil_has_bridges() -> None:
    whole, cut = FontFace(TRAIN_TYPEFACES[0]), Stencil(FontFace(TRAIN_TYPEFACES[0]), 0.07)
    ink = {digit: np.asarray(face.shape(digit).mask).sum() for face in (whole, cut) for digit in DIGITS}
    assert ink["1"] == np.asarray(whole.shape("1").mask).sum()
    middle = np.asarray(cut.shape("0").mask)
    assert not middle[:, middle.shape[1] // 2].any(), "the 0 is cut from top to bottom"


@pytest.mark.parametrize(
    "typeface", [*TRAIN_TYPEFACES, *TEST_TYPEFACES], ids=lambda typeface: Path(typeface.file).stem
)
def test_typeface_has_ten_different_digits(typeface: Typeface) -> None:
    font = font_of_height(typeface, 40)
    assert len({bytes(font.getmask(digit)) for digit in DIGITS}) == 10
    _, top, _, bottom = font.getbbox("0", anchor="ls")
    assert bottom - top == pytest.approx(40, abs=2)


def test_test_families_are_held_out() -> None:
    train, test = ({typeface.family for typeface in group} for group in (TRAIN_TYPEFACES, TEST_TYPEFACES))
    assert train.isdisjoint(test)
    assert generate.subject_of("train", "houses").typefaces == TRAIN_TYPEFACES
    assert generate.subject_of("valid", "houses").typefaces == TRAIN_TYPEFACES
    assert generate.subject_of("test", "houses").typefaces == TEST_TYPEFACES


def test_fonts_of_a_folder_say_their_licence() -> None:
    found = typefaces_in(Path(matplotlib.get_data_path()) / "fonts" / "ttf")
    licences = {typeface.family: typeface.licence for typeface in found}
    assert "dejavu" in licences["DejaVu Sans"].lower()
    assert not any(family.startswith("DejaVu Serif") for family in licences), "held out"
    assert "Last Resort High-Efficiency" not in licences, "its digits all look alike"


def test_a_folder_without_fonts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"\0\1\0\0\0\7 not a font")
    with pytest.raises(ConfigError, match="ten digits"):
        typefaces_in(tmp_path)


def test_missing_package_names_its_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Typeface(family="Absent", package="font_absent", file="files/A.ttf", licence="OFL-1.1")
    monkeypatch.setattr(generate, "TRAIN_TYPEFACES", (absent,))
    with pytest.raises(DigitspotError, match="font-absent") as caught:
        synthesize(tmp_path / "d", SynthRequest(train=1, valid=0, test=0))
    assert "pip install 'digitspot[synth]'" in str(caught.value.hint)
    assert not list(tmp_path.iterdir())
