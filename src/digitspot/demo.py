"""The whole way on generated images: make, train, predict, evaluate, look."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from digitspot.answers import read_answers
from digitspot.config import (
    Config,
    InputConfig,
    ModelConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainConfig,
)
from digitspot.cores import num_cores
from digitspot.errors import ConfigError
from digitspot.evaluation.answers import Scores, evaluate_answers
from digitspot.files import check_writable, writing_whole
from digitspot.labels.coco import read_labels
from digitspot.predict import PredictOptions, predict
from digitspot.progress import tracking
from digitspot.reader import Reader
from digitspot.sources import find_images
from digitspot.synth.generate import SynthRequest
from digitspot.synth.write import synthesize
from digitspot.training.run import start_training

NUM_TRAIN, NUM_VALID, NUM_TEST = 1200, 100, 300
NUM_OVERLAYS = 24

DEMO_CONFIG = Config(
    input=InputConfig(short_side=64, long_side=192),
    model=ModelConfig(
        preset="nano",
        fpn_channels=64,
        head_channels=256,
        anchor_sizes=((10, 14, 20, 28, 40, 56),),
        rpn_pre_nms_train=150,
        rpn_post_nms_train=64,
        rpn_pre_nms_test=150,
        rpn_post_nms_test=48,
        rpn_batch_size_per_image=64,
        box_batch_size_per_image=32,
    ),
    optimizer=OptimizerConfig(name="adamw", lr=2e-3, weight_decay=0.05, clip_norm=5.0),
    schedule=ScheduleConfig(kind="cosine", warmup_steps=100),
    train=TrainConfig(epochs=16, batch_size=16, ema_decay=0.995, validate_every_epochs=16),
)
"""`recipes/nano.yaml` with a smaller input and a shorter training: minutes on two CPU cores."""


def run_demo(output: Path, seed: int = 0, epochs: int | None = None) -> Scores:
    """Generate images, train on some typefaces, and read numbers set in others.

    Args:
        output: A new folder: `data/`, `run/`, `answers/` with overlays, `scores.json`.
        seed: Of the images and of the training.
        epochs: Takes the place of the demo's length.

    Returns:
        The scores on the test images.

    Raises:
        ConfigError: The folder already holds something.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"{output} already holds something", hint="Choose a new folder with --output.")
    check_writable(output)
    request = SynthRequest(train=NUM_TRAIN, valid=NUM_VALID, test=NUM_TEST, seed=seed, domain="plates")
    with tracking("generating images") as show:
        synthesize(output / "data", request, workers=num_cores(), progress=show)
    length = replace(DEMO_CONFIG.train, seed=seed, epochs=epochs or DEMO_CONFIG.train.epochs)
    start_training(replace(DEMO_CONFIG, train=length), output / "data", output / "run")
    answers, labels_path = output / "answers", output / "data" / "test.json"
    with tracking("reading") as show:
        predict(
            Reader.load(output / "run"),
            find_images(labels_path),
            answers,
            PredictOptions(archive=True, overlays=NUM_OVERLAYS, strict=True),
            progress=show,
        )
    labels = read_labels(labels_path, clip=False)
    scores = evaluate_answers(labels, read_answers(answers, labels))
    with writing_whole(output / "scores.json") as file:
        json.dump(scores.to_dict(), file, indent=1)
    return scores
