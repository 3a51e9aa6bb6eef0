"""Options of commands that answer with numbers: what is known of them, and when not to answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from digitspot.commands.model import ModelOptions
from digitspot.errors import ConfigError
from digitspot.files import read_text
from digitspot.progress import stderr
from digitspot.reader import Reader
from digitspot.reading import Rules
from digitspot.reading.selection import select
from digitspot.regions import parse_region
from digitspot.runtime.scan import MAX_LOOKS


@dataclass(frozen=True, kw_only=True)
class AnswerOptions(ModelOptions):
    """Where the model looks, and when and how it answers."""

    region: str | None = None
    """Read only this part of every image: x,y,width,height, in fractions of the image or in pixels."""
    turned: bool = False
    """Numbers may be turned by 90, 180 or 270 degrees. Takes four times as long."""
    max_looks: int = MAX_LOOKS
    """Tiles of a large image that are looked at, at most. Fewer take less time, and find larger numbers."""
    abstain_below: float | None = None
    """Do not answer where the number is less probable than this."""
    target_accuracy: float | None = None
    """Answer only where the reader is sure enough for this share of right answers, as 0.98."""
    length: int | None = None
    """The number has this many digits."""
    decimals: int = 0
    """So many of them are behind the decimal point."""
    at_least: str | None = None
    """Its smallest value."""
    at_most: str | None = None
    """Its largest value."""
    pattern: str | None = None
    """A regular expression that its digits match, such as '[1-9][0-9]*'."""
    known: tuple[str, ...] = ()
    """The only numbers that it can be, or text files of them. What was seen is corrected to the nearest."""
    previous: str | None = None
    """The reading before, of a meter; it does not fall."""
    max_change: str | None = None
    """How far from the previous reading it can be. With --length it can pass the highest number."""
    may_fall: bool = False
    """The number can be below the previous one."""

    def load(self, path: Path | None) -> Reader:
        """Load a model, and tell it how to answer."""
        rules = self._rules()
        region = None if self.region is None else parse_region(self.region)
        if self.max_looks < 1:
            raise ConfigError(f"--max-looks {self.max_looks}: need 1 or more")
        if self.abstain_below is not None and self.target_accuracy is not None:
            raise ConfigError("--abstain-below and --target-accuracy", hint="Give one of them.")
        reader = super().load(path)
        reader.rules, reader.region, reader.max_looks = rules, region, self.max_looks
        reader.turned = self.turned
        reader.abstain_below = self._abstain_below(reader)
        return reader

    def _rules(self) -> Rules | None:
        rules = Rules(
            length=self.length,
            decimals=self.decimals,
            at_least=decimal_of("at-least", self.at_least),
            at_most=decimal_of("at-most", self.at_most),
            pattern=self.pattern,
            known=frozenset(_known_numbers(self.known)) if self.known else None,
            previous=decimal_of("previous", self.previous),
            max_change=decimal_of("max-change", self.max_change),
            may_fall=self.may_fall,
        )
        return rules if rules or self.decimals else None

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


def decimal_of(name: str, text: str | None) -> Decimal | None:
    """Return the value of an option; raise a `ConfigError` where it is no number."""
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation as error:
        raise ConfigError(f"--{name} {text!r} is no number") from error


def _known_numbers(given: tuple[str, ...]) -> Iterator[str]:
    """Yield known numbers, each given as itself or in a file."""
    for each in given:
        if each.isdigit():
            yield each
            continue
        if not Path(each).is_file():
            raise ConfigError(f"--known {each!r} is neither a number nor a file of numbers")
        yield from read_text(Path(each)).split()
