"""Data sets that are generated at first use and kept in the cache, named by what they show."""

from __future__ import annotations

import re
from pathlib import Path

from digitspot.cores import num_cores
from digitspot.errors import ConfigError
from digitspot.files import cache_folder
from digitspot.progress import tracking
from digitspot.synth.generate import SynthRequest
from digitspot.synth.write import synthesize

PREFIX = "generated:"


def is_generated(name: str) -> bool:
    """Tell whether a name is of such a data set rather than a path."""
    return name.startswith(PREFIX)


def generated_set(name: str) -> Path:
    """Return the folder of a generated data set, which has a `train` alone.

    Args:
        name: `generated:DOMAIN:IMAGES`, as `generated:empty:2000`.

    Raises:
        ConfigError: The name is another one, or there is no such domain.
        DigitspotError: A typeface is not installed, or the folder cannot be written.
    """
    match = re.fullmatch(rf"{PREFIX}(\w+):([1-9]\d*)", name)
    if match is None:
        raise ConfigError(f"{name} is no generated data set", hint=f"Write {PREFIX}DOMAIN:IMAGES.")
    domain, num = match[1], int(match[2])
    request = SynthRequest(train=num, valid=0, test=0, domain=domain, packed=True, loose=True)
    folder = cache_folder() / "generated" / f"{domain}-{num}"
    if not folder.is_dir():
        with tracking(f"generating {domain} images") as show:
            synthesize(folder, request, workers=num_cores(), progress=show)
    return folder
