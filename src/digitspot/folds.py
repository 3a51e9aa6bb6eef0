"""Predictions of a split's images by models that were not trained on them: cross-validation, resumable."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from digitspot.answers import RESULTS
from digitspot.config import Config, config_to_dict
from digitspot.convert.write import bring_image
from digitspot.errors import ConfigError, DataError
from digitspot.files import check_writable, read_json, writing_whole
from digitspot.labels.coco import find_split, read_labels, write_labels
from digitspot.labels.grouping import divide, fingerprints, group_images
from digitspot.labels.labels import LabelledImage, LabelSet
from digitspot.labels.results import read_results
from digitspot.predict import PredictOptions, predict
from digitspot.progress import stderr, tracking
from digitspot.reader import Reader
from digitspot.sources import Images
from digitspot.types import Detections

RECORD = "folds.json"
"""Says which image is in which fold, and what is trained; a folder with it is gone on with."""
BATCH_SIZE = 256


def predict_out_of_fold(data: Path, config: Config, num_folds: int, output: Path) -> dict[int, Detections]:
    """Train on all folds but one, predict that one, and so on, until every image of `train` is predicted.

    Images that show the same stay in one fold. `valid` selects each model and is not predicted. What is
    finished is kept in `output`: a call that was cut off, or is repeated, goes on where it was.

    Args:
        data: A data set in the homework's layout, with `train` and `valid`.
        config: How each model is trained; shorter lengths that branch off are left out.
        num_folds: 2 or more.
        output: Folder for the models and their answers.

    Returns:
        The detections by image id; images without any are absent.

    Raises:
        ConfigError: There are fewer folds, or `output` holds other folds.
        DataError: Labels or images cannot be used.
        Interrupted: On Ctrl-C, after the state was saved.
    """
    if num_folds < 2:
        raise ConfigError(f"{num_folds} folds: need 2 or more")
    config = replace(config, schedule=replace(config.schedule, branch_epochs=()))
    check_writable(output)
    split = find_split(data, "train")
    labels = read_labels(split.labels_path)
    if len(labels) < num_folds:
        raise DataError(f"{split.labels_path} has {len(labels)} images, too few for {num_folds} folds")
    folds = _open_folds(labels, split.images_dir, config, num_folds, output)
    found: dict[int, Detections] = {}
    for fold in range(1, num_folds + 1):
        held_out = labels.with_images(tuple(each for each in labels.images if folds[each.image_id] == fold))
        folder = output / f"fold-{fold}"
        if not (folder / RESULTS).exists():
            stderr().print(f"fold {fold} of {num_folds}: {len(held_out)} images are held out")
            rest = [each for each in labels.images if folds[each.image_id] != fold]
            run = _train(data, labels.with_images(tuple(rest)), config, folder)
            _predict(run, held_out, split.images_dir, folder)
        found |= read_results(folder / RESULTS, held_out)
    return found


def _open_folds(
    labels: LabelSet, images_dir: Path, config: Config, num_folds: int, output: Path
) -> dict[int, int]:
    """Return the fold, from 1, of each image id: as they were dealt before, or dealt now."""
    told = {"labels": str(labels.path.resolve()), "folds": num_folds, "config": config_to_dict(config)}
    path = output / RECORD
    if path.exists():
        record = read_json(path)
        dealt = {int(key): fold for key, fold in record.pop("fold_of").items()}
        ids = {image.image_id for image in labels.images}
        if record != told or dealt.keys() != ids:
            raise ConfigError(
                f"{output} holds predictions of other labels, with other settings or folds",
                hint="Choose a new --output, or give what was given before.",
            )
        return dealt
    paths = [images_dir / image.file_name for image in labels.images]
    dealt = _deal(labels.images, paths, num_folds, config.train.seed)
    with writing_whole(path) as file:
        json.dump({**told, "fold_of": dealt}, file)
    return dealt


def _deal(
    images: Sequence[LabelledImage], paths: Sequence[Path], num_folds: int, seed: int
) -> dict[int, int]:
    names = {str(fold): 1 / num_folds for fold in range(1, num_folds)}  # "train" gets the rest
    splits = divide(group_images(paths, fingerprints(paths)), names, seed)
    folds = [num_folds if split == "train" else int(split) for split in splits]
    return {image.image_id: fold for image, fold in zip(images, folds, strict=True)}


def _train(data: Path, labels: LabelSet, config: Config, folder: Path) -> Path:
    """Train on some images of `train`, or go on with it; return the run."""
    from digitspot.training.run import resume_training, start_training  # needs torch
    from digitspot.training.runlog import Run

    run = folder / "run"
    if Run(run).started:
        resume_training(run)
        return run
    link_split(labels, find_split(data, "train").images_dir, folder / "data" / "train")
    valid = find_split(data, "valid")
    link_split(read_labels(valid.labels_path, clip=False), valid.images_dir, folder / "data" / "valid")
    start_training(config, folder / "data", run)
    return run


def link_split(labels: LabelSet, images_dir: Path, target: Path) -> None:
    """Make a split of some images, which are linked to."""
    for image in labels.images:
        path = target / image.file_name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            bring_image(images_dir / image.file_name, path, "link")
    write_labels(labels, target.with_suffix(".json"))


def _predict(run: Path, labels: LabelSet, images_dir: Path, folder: Path) -> None:
    reader = Reader.load(run)
    known = reader.seen.among(labels)
    assert not known, f"{run} was trained on {len(known)} images that it is to predict"
    paths: Mapping[int, Path] = {image.image_id: images_dir / image.file_name for image in labels.images}
    with tracking("predicting") as show:
        options = PredictOptions(batch_size=BATCH_SIZE, strict=True)
        predict(reader, Images(paths, labels=labels), folder, options, progress=show)
