"""What goes over the wire, as OpenAPI describes it: answers, problems, bodies."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class Digit(BaseModel):
    """One digit."""

    text: str = Field(examples=["4"])
    box: tuple[float, float, float, float] = Field(description="x1, y1, x2, y2 in pixels of the image")
    score: float
    probability: float
    alternatives: list[tuple[str, float]] = Field(description="other digits there, with their scores")


class Number(BaseModel):
    """A number in an image."""

    number: str | None = Field(examples=["274"], description="its digits; null where there is no answer")
    value: str | None = Field(examples=["274"], description="the same with the decimal point")
    probability: float = Field(examples=[0.97])
    decision: Literal["accepted", "corrected", "abstained"]
    reason: Literal["seen", "nothing", "rules", "known", "unsure"]
    explanation: str
    corrected_from: str | None
    turned: int = Field(description="degrees, clockwise, by which the number is turned")
    digits: list[Digit]


class ImageAnswer(BaseModel):
    """What was read in one image."""

    name: str | None = Field(description="the file's name, if it has one")
    error: str | None = Field(description="why the image cannot be read")
    numbers: list[Number] = Field(
        description="the number; with all=true every number, that one first, then the most probable"
    )


class Answers(BaseModel):
    """What was read in a request's images, in their order."""

    model: str
    images: list[ImageAnswer]


class ConfirmedDigit(BaseModel):
    """A digit that a person confirmed."""

    text: str = Field(pattern="^[0-9]$")
    box: tuple[float, float, float, float]


class ConfirmedDigits(BaseModel):
    """All digits of an image."""

    digits: list[ConfirmedDigit] = Field(max_length=100)


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: Any


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "The multipart body is malformed.",
        401: "The key is missing or wrong.",
        408: "The body did not arrive in time.",
        413: "Too many bytes, pixels or images.",
        415: "The body is neither an image nor multipart/form-data.",
        422: "A parameter or the image cannot be used.",
        503: "Too many images wait, or reading took too long; try again after Retry-After seconds.",
    }.items()
}
_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_FILES = {
    "schema": {
        "type": "object",
        "required": ["files"],
        "properties": {"files": {"type": "array", "minItems": 1, "items": _IMAGE["schema"]}},
    }
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "image/jpeg": _IMAGE,
            "image/png": _IMAGE,
            "application/octet-stream": _IMAGE,
            "multipart/form-data": _FILES,
        },
    }
}
