"""The application: images in, numbers out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import prometheus_client
import prometheus_client.multiprocess
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException as BaseHTTPException
from starlette.formparsers import MultiPartException

from digitspot.errors import DataError
from digitspot.images import num_pixels
from digitspot.models import DEFAULT
from digitspot.reader import Reader
from digitspot.reads import Read
from digitspot.serve.folder import LabelFolder, LabelledDigit
from digitspot.serve.limits import Guard
from digitspot.serve.parameters import ReadParameters
from digitspot.serve.queue import Answer, FullError, ReadingQueue
from digitspot.serve.schema import BODY, PROBLEMS, Answers, ConfirmedDigits, ImageAnswer, Number, Problem
from digitspot.serve.settings import ServeSettings

PAGE = Path(__file__).with_name("page")
RETRY_AFTER = {"Retry-After": "1"}

REQUESTS = prometheus_client.Counter("digitspot_requests", "Requests by path and status", ["path", "status"])
SECONDS = prometheus_client.Histogram(
    "digitspot_request_seconds",
    "How long requests took",
    ["path"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
DECISIONS = prometheus_client.Counter("digitspot_readings", "Readings by decision", ["decision"])
WAITING = prometheus_client.Gauge(
    "digitspot_waiting_images", "Images that wait to be read", multiprocess_mode="livesum"
)


def create_app(
    settings: ServeSettings | None = None, reader: Reader | None = None, folder: LabelFolder | None = None
) -> FastAPI:
    """Make the application.

    Args:
        settings: Limits and model; None takes those of the environment.
        reader: Reads; None loads the settings' model, with one thread.
        folder: Images to label; None is a service without.
    """
    settings = settings or ServeSettings.from_environment()
    loaded = reader or Reader.load(settings.model, threads=1)
    loaded.max_looks = settings.max_looks
    name = settings.model or DEFAULT
    waiting = ReadingQueue(settings.max_waiting, WAITING.set)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.ready = True
        yield
        app.state.ready = False
        await asyncio.to_thread(waiting.close)

    app = FastAPI(
        title="digitspot",
        version="1",
        summary="Find the digits in a photograph and read the number.",
        lifespan=lifespan,
        docs_url=None,  # these pages load their scripts from elsewhere
        redoc_url=None,
    )
    app.state.ready = False
    app.add_middleware(
        Guard,  # type: ignore[arg-type]
        max_bytes=settings.max_bytes,
        max_seconds=settings.max_seconds,
        api_key=settings.api_key,
        observe=_observe,
    )

    @app.post("/v1/read", responses=PROBLEMS, openapi_extra=BODY, tags=["read"])
    async def read(request: Request, parameters: Annotated[ReadParameters, Depends()]) -> Answers:
        """Read the number in one image or in several.

        Send the bytes of one image as the body, or several as files of a form. Of several images those that
        cannot be read have an error, and the others are read.
        """
        names, images = await _images_of(request, settings)
        pixels = []
        for each_name, image in zip(names, images, strict=True):
            num = 0
            with suppress(DataError):  # whoever reads it will say what is wrong
                num = num_pixels(image)
            pixels.append(num)
            if num > settings.max_pixels:
                raise HTTPException(
                    413,
                    f"{each_name or 'image'}: {num:,} pixels; at most {settings.max_pixels:,} are read",
                )
        asked = loaded.with_options(**parameters.options) if parameters.options else loaded
        try:
            async with asyncio.timeout_at(request.state.deadline):
                answers = await waiting.read(images, pixels, asked, parameters.every)
        except FullError as error:
            raise HTTPException(503, "too many images are waiting", RETRY_AFTER) from error
        except TimeoutError as error:
            raise HTTPException(
                503, f"reading took more than {settings.max_seconds:g} s", RETRY_AFTER
            ) from error
        if len(answers) == 1 and isinstance(answers[0], DataError):
            raise HTTPException(422, str(answers[0]))
        return Answers(model=name, images=[_answer(*each) for each in zip(names, answers, strict=True)])

    @app.get("/health", tags=["state"])
    def health() -> dict[str, str]:
        """Say that the process lives."""
        return {"status": "alive"}

    @app.get("/ready", responses={503: {"model": Problem, "description": "Not ready."}}, tags=["state"])
    def ready() -> dict[str, str]:
        """Say whether requests are taken."""
        if not app.state.ready:
            raise HTTPException(503, "not ready", RETRY_AFTER)
        return {"status": "ready", "model": name}

    @app.get("/metrics", response_class=PlainTextResponse, tags=["state"])
    def metrics() -> PlainTextResponse:
        """Return counters and timings of all worker processes, for Prometheus."""
        registry = prometheus_client.REGISTRY
        if _many_processes():
            registry = prometheus_client.CollectorRegistry()
            prometheus_client.multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return PlainTextResponse(prometheus_client.generate_latest(registry))

    _add_folder(app, folder, name)
    for each in PAGE.iterdir():
        path = "/" if each.name == "index.html" else f"/{each.name}"
        app.add_route(path, partial(_page_file, file=each), include_in_schema=False)
    return app


def _add_folder(app: FastAPI, folder: LabelFolder | None, model: str) -> None:
    """Add what the page asks for: whether there is a folder to label, and if so, its images."""

    @app.get("/v1/folder", include_in_schema=False)
    def images() -> dict[str, Any]:
        rows: list[dict[str, Any]] = []
        for index, (_, read) in enumerate(folder.reads if folder else ()):
            assert folder is not None
            confirmed = folder.confirmed(index)
            digits = None if confirmed is None else [asdict(digit) for digit in confirmed]
            rows.append(
                {
                    "index": index,
                    "name": folder.names[index],
                    "read": _number(read).model_dump(),
                    "digits": digits,
                    "confirmed": digits is not None,
                }
            )
        return {"model": model, "output": str(folder.output) if folder else None, "images": rows}

    if folder is None:
        return

    def require(index: int) -> None:
        if not 0 <= index < len(folder):
            raise HTTPException(404, f"no image {index}")

    @app.get("/v1/folder/{index}/image", include_in_schema=False)
    def image(index: int) -> FileResponse:
        require(index)
        return FileResponse(folder.reads[index][0])

    @app.put("/v1/folder/{index}/labels", include_in_schema=False)
    def confirm(index: int, confirmed: ConfirmedDigits) -> dict[str, int]:
        require(index)
        digits = [LabelledDigit(each.text, each.box) for each in confirmed.digits]
        try:
            folder.confirm(index, digits)
        except DataError as error:
            raise HTTPException(422, str(error)) from error
        return {"digits": len(digits)}


async def _page_file(request: Request, file: Path) -> FileResponse:
    return FileResponse(file)


async def _images_of(request: Request, settings: ServeSettings) -> tuple[list[str | None], list[bytes]]:
    """Return names and bytes of the images in a request."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("image/") or kind == "application/octet-stream":
        data = await request.body()
        if not data:
            raise HTTPException(422, "the body is empty")
        return [None], [data]
    if kind != "multipart/form-data":
        raise HTTPException(415, f"content type {kind!r}: send an image, or files as multipart/form-data")
    names: list[str | None] = []
    images = []
    try:
        async with request.form(max_files=settings.max_images, max_fields=10) as form:
            for each in form.getlist("files"):
                if isinstance(each, UploadFile):
                    names.append(each.filename)
                    images.append(await each.read())
    except (BaseHTTPException, MultiPartException) as error:
        detail = error.detail if isinstance(error, BaseHTTPException) else error.message
        raise HTTPException(413 if "Too many files" in detail else 400, detail) from error
    if not images:
        raise HTTPException(422, "the form has no field 'files' with a file")
    return names, images


def _answer(name: str | None, answer: Answer) -> ImageAnswer:
    if isinstance(answer, DataError):
        return ImageAnswer(name=name, error=str(answer), numbers=[])
    for each in answer:
        DECISIONS.labels(each.reading.decision).inc()
    return ImageAnswer(name=name, error=None, numbers=[_number(each) for each in answer])


def _number(read: Read) -> Number:
    reading = read.reading
    values = {name: value for name, value in asdict(reading).items() if name not in ("text", "decimals")}
    return Number(number=reading.text, value=str(reading) or None, explanation=reading.explanation, **values)


def _observe(path: str, status: int, seconds: float) -> None:
    path = path if path in ("/v1/read", "/health", "/ready", "/metrics") else "other"
    REQUESTS.labels(path, str(status)).inc()
    SECONDS.labels(path).observe(seconds)


def _many_processes() -> bool:
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ
