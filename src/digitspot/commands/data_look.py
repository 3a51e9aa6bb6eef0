"""`digitspot data stats` and `digitspot data preview`: images of a data set for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.options import parse, print_table
from digitspot.config import AugmentConfig, load_recipe
from digitspot.errors import ConfigError, DataError
from digitspot.files import check_writable, writing_whole
from digitspot.labels.check import SPLITS
from digitspot.labels.coco import find_split, labels_path_of, read_labels
from digitspot.labels.statistics import Statistics, measure
from digitspot.overlays import MAX_COLUMNS, sheet_paths
from digitspot.preview import augmentation_sheets, choose_images, preview_sheets
from digitspot.progress import tracking


@dataclass(frozen=True, kw_only=True)
class StatsOptions:
    """Draw one figure of digit sizes, counts, lengths, positions and aspect, the splits side by side.

    digitspot data stats DATA --output stats.svg
    """

    path: Annotated[Path, tyro.conf.Positional]
    """A data set in digitspot's layout, or one label file."""
    output: Path = Path("stats.png")
    """Where the figure goes."""


@dataclass(frozen=True, kw_only=True)
class PreviewOptions:
    """Draw images with their boxes and numbers on sheets that fit a screen, or what augmentation does.

    digitspot data preview DATA --images 12
    digitspot data preview DATA --images 6 --augmented 3
    """

    path: Annotated[Path, tyro.conf.Positional]
    """A data set in digitspot's layout."""
    split: str = "train"
    """Which split."""
    images: int = 24
    """How many images, chosen at random; what one sheet does not hold goes to preview-2.png and so on."""
    augmented: int = 0
    """Beside each image, this many of its views in training, one of each epoch; at most 5."""
    recipe: Path | None = None
    """Whose augmentation; none is the default one."""
    columns: int = 4
    """Images in a row, 1 to 6; fewer are larger. With --augmented, a row is an image's views."""
    seed: int = 0
    """Of the choice and of the augmentation."""
    output: Path = Path("preview.png")
    """Where the sheet goes."""


def stats(arguments: list[str]) -> None:
    """Measure a data set and draw the figure."""
    from digitspot.plots import kind_of, save  # matplotlib takes half a second to load
    from digitspot.statistics_plot import statistics_plot

    options = parse(StatsOptions, "data stats", arguments)
    kind = kind_of(options.output)
    check_writable(options.output.absolute().parent)
    splits = _measured(options.path)
    with writing_whole(options.output, "wb") as file:
        save(statistics_plot(options.path.name or str(options.path), splits), file, kind)
    rows = [
        (name, str(each.num_images), str(len(each.heights)), " ".join(map(str, each.lengths.tolist())))
        for name, each in splits.items()
    ]
    print_table(str(options.path), ("split", "images", "digits", "images of 0, 1, 2 ... digits"), rows)
    print(options.output)


def preview(arguments: list[str]) -> None:
    """Draw a sheet."""
    options = parse(PreviewOptions, "data preview", arguments)
    if options.images < 1 or not 1 <= options.columns <= MAX_COLUMNS:
        raise ConfigError(
            f"--images {options.images} --columns {options.columns}: at least 1, and 1 to {MAX_COLUMNS}"
        )
    if not 0 <= options.augmented < MAX_COLUMNS:
        raise ConfigError(f"--augmented {options.augmented}: 0 to {MAX_COLUMNS - 1} fit beside an image")
    kind = _kind_of(options.output)
    check_writable(options.output.absolute().parent)
    split = find_split(options.path, options.split)
    images = choose_images(read_labels(split.labels_path), options.images, options.seed)
    with tracking("drawing") as show:
        if options.augmented:
            config = load_recipe(options.recipe).augment if options.recipe else AugmentConfig()
            sheets = augmentation_sheets(
                images, split.images_dir, config, options.augmented, options.seed, show
            )
        else:
            sheets = preview_sheets(images, split.images_dir, options.columns, show)
    for sheet, path in zip(sheets, sheet_paths(options.output, len(sheets)), strict=True):
        with writing_whole(path, "wb") as file:
            sheet.save(file, kind)
        print(path)


def _measured(path: Path) -> dict[str, Statistics]:
    """Measure every split that has labels."""
    if path.is_file():
        return {path.stem: measure(read_labels(path))}
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder")
    paths = {name: labels_path_of(path, name) for name in SPLITS}
    splits = {name: measure(read_labels(each)) for name, each in paths.items() if each.is_file()}
    if not splits:
        raise DataError(f"{path}: no train.json, valid.json or test.json")
    return splits


def _kind_of(path: Path) -> str:
    """Return Pillow's name of the format that a file's ending means."""
    kind = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(f"--output {path}: the ending must be .png, .jpg or .webp")
    return kind
