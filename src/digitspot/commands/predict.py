"""`digitspot predict`: images to pred.json and pred.csv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from digitspot.answers import ERRORS, NAMES
from digitspot.commands.answering import AnswerOptions
from digitspot.commands.model import ModelOptions
from digitspot.commands.options import parse
from digitspot.errors import ConfigError, DataError
from digitspot.files import digest, printable
from digitspot.labels.labels import LabelSet
from digitspot.models import find_model
from digitspot.predict import PredictOptions as Writing
from digitspot.predict import predict
from digitspot.progress import stderr, tracking
from digitspot.reader import Reader
from digitspot.sources import Images, find_images

MOST_NAMED = 20


@dataclass(frozen=True, kw_only=True)
class PredictOptions(AnswerOptions):
    """Read many images: pred.json (every digit, COCO results), pred.csv (the numbers, -1 for none) and
    readings.csv (numbers with probabilities); command.txt says how they were made.

    digitspot predict runs/mine DATA/test.json --output answers --zip
    digitspot predict svhn photos --output answers --overlays 12
    """

    run: Annotated[Path, tyro.conf.Positional]
    """A name of `digitspot models`, a run folder (its best model), a checkpoint, or an exported .onnx."""
    images: Annotated[str, tyro.conf.Positional]
    """A folder of images, a .txt list of paths, an image, or a label file whose images are beside it. With
    --engine ray also Parquet or tar files, and URLs such as s3://bucket/photos."""
    output: str
    """Where the answers go; with --engine ray also a URL."""
    engine: Literal["plain", "ray"] = "plain"
    """ray reads very many images with a process a core, on this machine or on the cluster that RAY_ADDRESS
    names. The same command goes on after an interruption."""
    workers: int | None = None
    """Processes that read, with --engine ray; None is one a core."""
    zip: bool = False
    """Also write pred.zip with both files."""
    overlays: int = 0
    """Draw this many images with boxes and number, and a sheet of the first ones."""
    propose: Literal["label-studio", "cvat"] | None = None
    """Also write label-studio.json or cvat.xml, for people to correct there; `data convert` reads what these
    tools export."""
    batch_size: int = 256
    """Images read at a time; batches of like shapes are made of them."""
    strict: bool = False
    """Stop at the first image that cannot be read, with nothing written. Otherwise its answer is -1, it is
    listed in errors.csv, and the exit code is 3."""


def run(arguments: list[str]) -> None:
    """Predict."""
    options = parse(PredictOptions, "predict", arguments, named=(AnswerOptions, ModelOptions))
    _check_engine(options)
    (_run_plain if options.engine == "plain" else _run_bulk)(options, arguments)


def _run_plain(options: PredictOptions, arguments: list[str]) -> None:
    writing = Writing(
        archive=options.zip,
        overlays=options.overlays,
        batch_size=options.batch_size,
        propose=options.propose,
        strict=options.strict,
        command=("digitspot", "predict", *arguments),
    )
    reader = options.load(options.run)
    stderr().print(f"digit=category_id: {reader.categories}; {reader.settings}")
    images = find_images(Path(options.images))
    _say_what_is_read(images)
    _warn_of_seen(reader, images.labels)
    output = Path(options.output)
    with tracking("reading") as show:
        errors = predict(reader, images, output, writing, progress=show)
    print(output)
    _fail_if_any([(images.names[key], str(error)) for key, error in errors.items()], len(errors), len(images))


def _run_bulk(options: PredictOptions, arguments: list[str]) -> None:
    try:
        from digitspot import bulk, bulk_sources
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--engine ray needs {error.name}", hint="Install it: pip install 'digitspot[ray]'."
        ) from error
    reader = replace(options, threads=1).load(options.run)
    stderr().print(f"digit=category_id: {reader.categories}; {reader.settings}")
    source = bulk_sources.find_bulk(options.images)
    how = {
        key: value for key, value in vars(options).items() if key not in ("output", "workers", "batch_size")
    }
    writing = bulk.BulkOptions(
        workers=options.workers,
        batch_size=options.batch_size,
        progress=stderr().is_terminal,
        job={**how, "model": digest(find_model(options.run))},
        command=("digitspot", "predict", *arguments),
    )
    done = bulk.predict_bulk(reader, source, options.output, writing)
    print(options.output)
    _fail_if_any(done.first_errors, done.num_errors, done.num_images)


def _check_engine(options: PredictOptions) -> None:
    """Refuse options that have no effect with the engine."""
    plain, ray = ("zip", "overlays", "propose", "strict", "threads"), ("workers",)
    defaults = {each.name: each.default for each in fields(PredictOptions)}
    for name in ray if options.engine == "plain" else plain:
        if getattr(options, name) != defaults[name]:
            raise ConfigError(
                f"--{name} has no effect with --engine {options.engine}", hint="Leave out one of them."
            )
    url = next((each for each in (options.images, options.output) if "://" in each), None)
    if url and options.engine == "plain":
        raise ConfigError(f"{url} is an URL, which --engine plain does not read", hint="Give --engine ray.")


def _warn_of_seen(reader: Reader, labels: LabelSet | None) -> None:
    seen = reader.seen.among(labels) if labels else set()
    if labels and seen:
        stderr().print(
            f"[bold red]The model was trained on {len(seen)} of these {len(labels.images)} images:[/] "
            "no score on them is a validation."
        )


def _fail_if_any(first: Sequence[tuple[str, str]], num_errors: int, num_images: int) -> None:
    if not num_errors:
        return
    names = [f"{name} ({error})" for name, error in first]
    raise DataError(
        f"{num_errors} of {num_images} images could not be read: {_listed(names, num_errors)}",
        hint=f"The others are answered. {ERRORS} lists these; --strict stops at the first.",
    )


def _say_what_is_read(images: Images) -> None:
    if images.skipped:
        names = [path.name for path in images.skipped]
        message = f"skipped, since they are no images: {len(names)} ({_listed(names, len(names))})"
        stderr().print(printable(message), markup=False)
    if images.numbered:
        stderr().print(f"file names are no ids: ids are counted, see {NAMES}")


def _listed(names: Sequence[str], num: int) -> str:
    rest = f" and {num - MOST_NAMED} more" if num > MOST_NAMED else ""
    return "; ".join(names[:MOST_NAMED]) + rest
