"""Options of commands that answer with numbers: what is known of them, and when not to answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from digitspot.commands.model import ModelOptions
from digitspot.errors import ConfigError
from digitspot.progress import stderr
from digitspot.reader import Reader
from digitspot.reading import Constraint
from digitspot.reading.selection import select


@dataclass(frozen=True, kw_only=True)
class AnswerOptions(ModelOptions):
    """How a model computes, and how it answers."""

    abstain_below: float | None = None
    """Do not answer where the number is less probable than this."""
    target_accuracy: float | None = None
    """Answer only where the reader is sure enough for this share of right answers, as 0.98."""
    length: int | None = None
    """The number has this many digits."""
    at_least: int | None = None
    """Its smallest value."""
    at_most: int | None = None
    """Its largest value."""
    pattern: str | None = None
    """A regular expression that it matches, such as '[1-9][0-9]*'."""
    allowed: tuple[str, ...] = ()
    """The only numbers that it can be."""
    previous: str | None = None
    """The reading before, of a meter that counts up."""
    max_change: int | None = None
    """The most that it can have grown since."""

    def load(self, path: Path) -> Reader:
        """Load a model, and tell it how to answer."""
        constraint = self._constraint()
        if self.abstain_below is not None and self.target_accuracy is not None:
            raise ConfigError("--abstain-below and --target-accuracy", hint="Give one of them.")
        reader = super().load(path)
        reader.constraint = constraint
        reader.abstain_below = self._abstain_below(reader)
        return reader

    def _constraint(self) -> Constraint:
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ConfigError(f"--pattern {self.pattern!r} is no regular expression: {error}") from error
        for name, texts in (("allowed", self.allowed), ("previous", (self.previous or "0",))):
            for text in texts:
                if not (text.isascii() and text.isdigit()):
                    raise ConfigError(f"--{name} {text!r} is no number")
        if self.max_change is not None and self.previous is None:
            raise ConfigError(f"--max-change {self.max_change} without --previous")
        return Constraint(
            length=self.length,
            at_least=self.at_least,
            at_most=self.at_most,
            pattern=self.pattern,
            allowed=frozenset(self.allowed) or None,
            previous=self.previous,
            max_change=self.max_change,
        )

    def _abstain_below(self, reader: Reader) -> float:
        for name, share in (("abstain-below", self.abstain_below), ("target-accuracy", self.target_accuracy)):
            if share is not None and not 0 < share < 1:
                raise ConfigError(f"--{name} {share:g} is not between 0 and 1")
        if self.target_accuracy is None:
            return self.abstain_below or 0.0
        selection = select(reader.settings.risk, self.target_accuracy)
        if selection is None:
            raise ConfigError(
                f"--target-accuracy {self.target_accuracy:g} was not reached by any share of the images "
                f"that the reader was fitted on ({reader.settings})",
                hint="Fit it on more images with `digitspot calibrate`, or ask for less.",
            )
        stderr().print(str(selection))
        return selection.min_probability
