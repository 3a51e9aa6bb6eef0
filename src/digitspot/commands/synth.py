"""`digitspot data synth`: generated images of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from digitspot.commands.options import parse
from digitspot.cores import num_cores
from digitspot.errors import ConfigError
from digitspot.progress import tracking
from digitspot.synth.generate import SynthRequest
from digitspot.synth.typefaces import typefaces_in
from digitspot.synth.write import synthesize


@dataclass(frozen=True, kw_only=True)
class SynthOptions:
    """Generate images of numbers with exact boxes, as a data set to train on.

    Ctrl-C keeps what is done; the same command goes on from there, and the result is the same to the byte.

    digitspot data synth made --images 2000
    digitspot data synth meters --domain meters --boxes loose --test-fraction 0.1
    """

    output: Annotated[Path, tyro.conf.Positional]
    """A new folder."""
    images: int = 2000
    """Images of all splits together."""
    seed: int = 0
    """Other seeds give other images, without end."""
    domain: Literal["houses", "meters", "displays", "jerseys", "signs", "plates", "empty", "mixed"] = "houses"
    """What they show. plates are house numbers that are easy to read; empty is walls without one; mixed is
    all of them but plates in turn, houses twice."""
    boxes: Literal["ink", "loose"] = "ink"
    """Boxes tight around the ink, or loose ones as people drew SVHN's, to train on together with those."""
    valid_fraction: float = 0.1
    """How many of the images are for validation."""
    test_fraction: float = 0.0
    """How many are for testing, set in typefaces that no other image shows."""
    pack: bool = False
    """Write packs that trainings read at once, and no image files."""
    typefaces: Path | None = None
    """A folder of further fonts (.ttf, .otf), such as the system's."""
    workers: int | None = None
    """Processes; none is one for every core."""


def run(arguments: list[str]) -> None:
    """Generate a data set."""
    options = parse(SynthOptions, "data synth", arguments)
    request = SynthRequest(
        **split_sizes(options.images, options.valid_fraction, options.test_fraction),
        seed=options.seed,
        domain=options.domain,
        packed=options.pack,
        loose=options.boxes == "loose",
        more_typefaces=typefaces_in(options.typefaces) if options.typefaces else (),
    )
    workers = num_cores() if options.workers is None else options.workers
    with tracking("generating images") as show:
        written = synthesize(options.output, request, workers=workers, progress=show)
    counts = ", ".join(f"{len(labels)} {name}" for name, labels in written.items())
    print(f"{options.output}: {counts}")


def split_sizes(images: int, valid_fraction: float, test_fraction: float) -> dict[str, int]:
    """Divide images among splits.

    Raises:
        ConfigError: There is no image, or the fractions are not within 0 to 1.

    >>> split_sizes(2000, 0.1, 0.0)
    {'train': 1800, 'valid': 200, 'test': 0}
    """
    if images < 1 or min(valid_fraction, test_fraction) < 0 or valid_fraction + test_fraction > 1:
        raise ConfigError(
            f"{images} images, {valid_fraction} of them for validation and {test_fraction} for testing",
            hint="At least one image, and fractions that are 0 or more and together at most 1.",
        )
    valid, test = round(images * valid_fraction), round(images * test_fraction)
    return {"train": images - valid - test, "valid": valid, "test": test}
