"""Find the digits in an image and read the number.

>>> import digitspot
>>> reader = digitspot.Reader.load("runs/mine")  # doctest: +SKIP
>>> reader.read("door.jpg").text  # doctest: +SKIP
'042'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from digitspot.types import Detections, Digit, Reading

if TYPE_CHECKING:
    from digitspot.reader import Reader
    from digitspot.reading import Rules
    from digitspot.training.run import train

__version__ = "1.0.0"
__all__ = ["Detections", "Digit", "Reader", "Reading", "Rules", "train"]


def __getattr__(name: str) -> Any:
    """Import what is large when it is first used."""
    if name == "Reader":
        from digitspot.reader import Reader

        return Reader
    if name == "Rules":
        from digitspot.reading import Rules

        return Rules
    if name == "train":
        from digitspot.training.run import train

        return train
    raise AttributeError(f"module 'digitspot' has no attribute {name!r}")
