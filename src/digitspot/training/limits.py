"""Settings that cannot be trained with, refused before anything is read."""

from __future__ import annotations

import multiprocessing
from math import inf

from digitspot.config import Config
from digitspot.errors import ConfigError
from digitspot.training.memory import parse_size

RANGES = (
    ("data", "workers", 0, 256),
    ("data", "read_ahead", 1, 256),
    ("data", "parts", 1, inf),
    ("data", "untouched_fraction", 0, 0.9),
    ("data", "longest_side", 1, inf),
    ("data", "images", 1, inf),
    ("data", "also_epochs", 1, inf),
    ("input", "short_side", 1, inf),
    ("input", "long_side", 1, inf),
    ("input", "multiple", 1, inf),
    ("input", "train_short_sides", 1, inf),
    ("input", "upscale", 1, 8),
    ("augment", "max_zoom_out", 1, 100),
    ("augment", "zoom_out_probability", 0, 1),
    ("augment", "max_shift", 0, 1),
    ("augment", "max_rotation_degrees", 0, 45),
    ("model", "fpn_channels", 1, inf),
    ("model", "head_channels", 1, inf),
    ("model", "nano_widths", 2, inf),
    ("model", "anchor_ratios", 0.01, 100),
    ("model", "rpn_pre_nms_train", 1, inf),
    ("model", "rpn_pre_nms_test", 1, inf),
    ("model", "rpn_post_nms_train", 1, inf),
    ("model", "rpn_post_nms_test", 1, inf),
    ("model", "rpn_batch_size_per_image", 1, inf),
    ("model", "box_batch_size_per_image", 1, inf),
    ("model", "box_positive_fraction", 0, 1),
    ("model", "dropout", 0, 0.99),
    ("model", "min_score", 0, 1),
    ("model", "max_iou", 0, 1),
    ("model", "max_detections", 1, inf),
    ("optimizer", "lr", 1e-30, 1e30),
    ("optimizer", "backbone_lr_factor", 0, 1e6),
    ("optimizer", "weight_decay", 0, inf),
    ("optimizer", "momentum", 0, 0.9999),
    ("optimizer", "clip_norm", 0, inf),
    ("optimizer", "accumulate", 1, inf),
    ("schedule", "warmup_steps", 0, inf),
    ("schedule", "decay_fraction", 0.001, 0.999),
    ("schedule", "plateau_factor", 0.001, 1),
    ("schedule", "plateau_patience", 0, inf),
    ("schedule", "plateau_floor", 0, inf),
    ("train", "epochs", 1, inf),
    ("train", "max_updates", 1, inf),
    ("train", "batch_size", 1, inf),
    ("train", "seed", 0, inf),
    ("train", "ema_decay", 0, 0.999999),
    ("train", "validate_every_epochs", 1, inf),
    ("train", "early_stopping", 0, inf),
    ("train", "max_batch_pixels", 1, inf),
    ("train", "prequential_fading", 0, 1),
    ("train", "prequential_window", 1, inf),
    ("train", "checkpoint_every_seconds", 0, inf),
)
"""Section, setting, lowest and highest value that can be trained with; each value of a list alike."""


def check_config(config: Config) -> None:
    """Refuse combinations that cannot be trained.

    Raises:
        ConfigError: Names the setting and its value.
    """
    for section, name, low, high in RANGES:
        value = getattr(getattr(config, section), name)
        for each in value if isinstance(value, tuple) else (value,):
            if each is not None and not low <= each <= high:
                allowed = f"at least {low:g}" if high == inf else f"from {low:g} to {high:g}"
                raise ConfigError(f"{section}.{name} is {value}, must be {allowed}")
    _check_parts(config)
    if config.train.memory_budget is not None:
        parse_size(config.train.memory_budget)
    branches = config.schedule.branch_epochs
    if branches and config.schedule.kind != "wsd":
        raise ConfigError(
            f"schedule.branch_epochs is {branches}, but schedule.kind is {config.schedule.kind}",
            hint="Only wsd has a trunk to branch off.",
        )
    if branches and config.train.early_stopping:
        raise ConfigError(
            f"train.early_stopping is {config.train.early_stopping} and schedule.branch_epochs {branches}",
            hint="A trunk that stops early has no branches; leave one of them out.",
        )
    if any(not 0 < epochs < config.train.epochs for epochs in branches):
        raise ConfigError(
            f"schedule.branch_epochs is {branches}, must be within train.epochs ({config.train.epochs})"
        )


def _check_parts(config: Config) -> None:
    data = config.data
    if data.also_epochs is not None and not data.also:
        raise ConfigError(
            f"data.also_epochs is {data.also_epochs}, but data.also names no data set",
            hint="Give one: --data.also DIR.",
        )
    if data.in_parts and data.workers and "fork" not in multiprocessing.get_all_start_methods():
        raise ConfigError(
            f"data.strategy {data.strategy} with data.workers {data.workers}: this system does not fork",
            hint="Parts in memory are shared with forked processes only: set --data.workers 0.",
        )
    if config.train.score_parts and not data.in_parts:
        raise ConfigError("train.score_parts needs parts", hint="Set --data.strategy parts.")
    if config.counts_rounds and config.schedule.plateau_compare == "cycle" and data.part_order != "once":
        raise ConfigError(
            f"schedule.plateau_compare is cycle, but data.part_order is {data.part_order}",
            hint="Only parts that are kept have a cycle before to compare with: set --data.part-order once.",
        )
    if data.merge_valid and data.untouched_fraction == 0:
        _check_without_validation(config)
    if data.hold_out and not (data.in_parts and data.parts > 1 and data.part_order == "once"):
        raise ConfigError(
            "data.hold_out needs parts that are kept",
            hint="Set --data.strategy parts --data.part-order once, and two parts or more.",
        )


def _check_without_validation(config: Config) -> None:
    """With all of `valid` merged, only what was scored before it was first trained on is honest."""
    if not config.train.score_parts:
        raise ConfigError(
            "data.merge_valid with data.untouched_fraction 0 leaves nothing to validate on",
            hint="Keep a share, or score parts before they are trained on: --train.score-parts.",
        )
    if config.train.early_stopping and not config.counts_rounds:
        raise ConfigError("train.early_stopping needs validations, and data.untouched_fraction is 0")
