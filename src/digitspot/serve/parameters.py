"""The parameters of a request to read: what is known of the numbers, and which part of the images counts."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from fastapi import HTTPException, Query
from pydantic import StringConstraints

from digitspot.errors import ConfigError
from digitspot.reading import Rules
from digitspot.regions import parse_region

MAX_PATTERN, MAX_REPEATS = 100, 3
"""A pattern without groups and with few repeats takes no long time, whatever the digits."""
SIMPLE_PATTERN = re.compile(r"(?:\\d|[0-9.]|\[\^?[0-9-]+\]|[?*+|]|\{\d{1,2}(?:,\d{0,2})?\})*")


class ReadParameters:
    """The parameters of a request: what is known of the numbers, and which part of the images counts."""

    def __init__(
        self,
        length: Annotated[int | None, Query(ge=1, le=24, description="digits of the number")] = None,
        decimals: Annotated[int, Query(ge=0, le=24, description="of them behind the decimal point")] = 0,
        at_least: Annotated[Decimal | None, Query(ge=0, description="its smallest value")] = None,
        at_most: Annotated[Decimal | None, Query(ge=0, description="its largest value")] = None,
        pattern: Annotated[
            str | None,
            Query(
                max_length=MAX_PATTERN,
                description="a regular expression without groups",
                examples=["[1-9]\\d*"],
            ),
        ] = None,
        known: Annotated[
            list[Annotated[str, StringConstraints(pattern="^[0-9]{1,24}$")]] | None,
            Query(max_length=1000, description="all numbers that it can be"),
        ] = None,
        previous: Annotated[Decimal | None, Query(ge=0, description="a meter's reading before")] = None,
        max_change: Annotated[Decimal | None, Query(ge=0, description="how far it can be from that")] = None,
        may_fall: Annotated[bool, Query(description="it can be below the previous reading")] = False,
        region: Annotated[
            str | None,
            Query(
                max_length=100,
                description="x,y,width,height: fractions or pixels",
                examples=["0.25,0.4,0.5,0.2"],
            ),
        ] = None,
        turned: Annotated[bool, Query(description="numbers may be turned by 90, 180 or 270 degrees")] = False,
        every: Annotated[bool, Query(alias="all", description="return every number")] = False,
        min_probability: Annotated[float, Query(ge=0, le=1, description="abstain below it")] = 0.0,
    ) -> None:
        if pattern is not None:
            _check_pattern(pattern)
        self.options: dict[str, Any] = {}
        try:
            if region is not None:
                self.options["region"] = parse_region(region)
            rules = Rules(
                length=length,
                decimals=decimals,
                at_least=at_least,
                at_most=at_most,
                pattern=pattern,
                known=None if known is None else frozenset(known),
                previous=previous,
                max_change=max_change,
                may_fall=may_fall,
            )
        except ConfigError as error:
            raise HTTPException(422, str(error)) from error
        if rules or decimals:
            self.options["rules"] = rules
        if turned:
            self.options["turned"] = True
        if min_probability:
            self.options["abstain_below"] = min_probability
        self.every = every


def _check_pattern(pattern: str) -> None:
    repeats = sum(pattern.count(each) for each in "*+{?")
    if not SIMPLE_PATTERN.fullmatch(pattern) or repeats > MAX_REPEATS:
        raise HTTPException(
            422,
            f"pattern {pattern!r}: give digits, \\d, [0-9], . and |, and at most {MAX_REPEATS} of ? * + {{}}",
        )
