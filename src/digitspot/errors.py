"""What can go wrong, in words for the user.

A mistake of the user (a bad file, a wrong key, a folder that cannot be written) raises one
of these; the command line prints the message and the hint, without a traceback, and exits
with the class's code.
"""

INTERRUPTED = 130
"""The exit code after SIGINT or SIGTERM: what shells use for a program that SIGINT ended."""


class DigitspotError(Exception):
    """An error with a message for people: what is wrong, the value, where.

    Args:
        message: What is wrong, with the value and the place.
        hint: What to do about it, as one sentence; printed on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(DigitspotError):
    """A recipe, a flag or a combination of them that cannot be used."""

    exit_code = 2


class DataError(DigitspotError):
    """Labels, images or predictions that cannot be used."""

    exit_code = 3


class CheckpointError(DigitspotError):
    """A run, checkpoint or weights file that cannot be used."""

    exit_code = 4


class ExportError(DigitspotError):
    """A model that cannot be exported."""

    exit_code = 5


class MemoryBudgetError(DigitspotError):
    """A memory budget that does not suffice, or was exceeded."""

    exit_code = 6
