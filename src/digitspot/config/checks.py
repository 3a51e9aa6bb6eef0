"""Which values a setting may have, and with which others it has an effect: every check of a recipe."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from digitspot.config.settings import Config
from digitspot.errors import ConfigError

COUNT = (1, 10**9)
LEVELS = {"nano": 1, "resnet18_fpn": 5, "mobilenet_v3_large_fpn": 3, "resnet50_fpn_v2": 5}
"""Pyramid levels that propose boxes: torchvision's builders', and `detector/nano.py`'s one."""
UNITS = {"": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}

RANGES: dict[str, tuple[float, float]] = {
    "data.longest_side": COUNT,
    "data.parts": COUNT,
    "data.untouched_fraction": (0, 0.9),
    "data.images": COUNT,
    "data.also_epochs": COUNT,
    "data.workers": (0, 256),
    "data.read_ahead": (1, 256),
    "input.short_side": (1, 10_000),
    "input.long_side": (1, 100_000),
    "input.multiple": (1, 1024),
    "input.train_short_sides": (1, 10_000),
    "input.upscale": (1, 8),
    "augment.max_rotation_degrees": (0, 45),
    "augment.max_shift": (0, 1),
    "augment.max_zoom_out": (1, 100),
    "augment.zoom_out_probability": (0, 1),
    "augment.crop_probability": (0, 1),
    "model.trainable_stages": (0, 5),
    "model.nano_widths": (2, 10_000),
    "model.fpn_channels": (1, 10_000),
    "model.head_channels": (1, 100_000),
    "model.anchor_sizes": (1, 10_000),
    "model.anchor_ratios": (0.01, 100),
    "model.rpn_pre_nms_train": COUNT,
    "model.rpn_pre_nms_test": COUNT,
    "model.rpn_post_nms_train": COUNT,
    "model.rpn_post_nms_test": COUNT,
    "model.rpn_batch_size_per_image": COUNT,
    "model.box_batch_size_per_image": COUNT,
    "model.box_positive_fraction": (0, 1),
    "model.dropout": (0, 0.99),
    "model.min_score": (0, 1),
    "model.max_iou": (0, 1),
    "model.max_detections": COUNT,
    "optimizer.lr": (1e-30, 1e30),
    "optimizer.backbone_lr_factor": (0, 1e6),
    "optimizer.weight_decay": (0, 1e6),
    "optimizer.momentum": (0, 0.9999),
    "optimizer.clip_norm": (0, 1e30),
    "optimizer.accumulate": COUNT,
    "schedule.warmup_steps": (0, 10**9),
    "schedule.decay_fraction": (0.001, 0.999),
    "schedule.branch_epochs": COUNT,
    "schedule.plateau_factor": (0.001, 1),
    "schedule.plateau_patience": (0, 10**9),
    "schedule.plateau_floor": (0, 1e30),
    "train.epochs": COUNT,
    "train.max_updates": COUNT,
    "train.batch_size": COUNT,
    "train.seed": (0, 2**63),
    "train.ema_decay": (0, 0.999999),
    "train.validate_every_epochs": COUNT,
    "train.looks": (1, 4),
    "train.early_stopping": (0, 10**9),
    "train.prequential_fading": (0, 1),
    "train.prequential_window": COUNT,
    "train.max_batch_pixels": COUNT,
    "train.checkpoint_every_seconds": (0, inf),
}
"""Lowest and highest value of every number; each number of a list alike."""


@dataclass(frozen=True)
class Need:
    """What a setting needs to have an effect.

    Attributes:
        met: Whether the other settings give it.
        setting: The other setting, by dotted name.
        hint: What to do.
    """

    met: Callable[[Config], bool]
    setting: str
    hint: str


PARTS = Need(lambda c: c.data.in_parts, "data.strategy", "Set --data.strategy parts or prepared.")
KEPT = Need(lambda c: c.data.part_order == "once", "data.part_order", "Set --data.part-order once.")
TWO_PARTS = Need(lambda c: c.data.parts > 1, "data.parts", "Set --data.parts 2 or more.")
MERGED = Need(lambda c: c.data.merge_valid, "data.merge_valid", "Set --data.merge-valid.")
ALSO = Need(lambda c: bool(c.data.also), "data.also", "Give a data set: --data.also DIR.")
WORKERS = Need(lambda c: c.data.workers > 0, "data.workers", "Set --data.workers 1 or more.")
PACKED = Need(lambda c: c.data.strategy != "files", "data.strategy", "Set --data.strategy pack.")
PHOTO = Need(
    lambda c: c.augment.preset in ("photo", "strong"),
    "augment.preset",
    "Set --augment.preset photo or strong.",
)
ZOOMED = Need(
    lambda c: c.augment.zoom_out_probability > 0,
    "augment.zoom_out_probability",
    "Set --augment.zoom-out-probability above 0.",
)
STAGED = Need(
    lambda c: c.model.preset != "mobilenet_v3_large_fpn", "model.preset", "Choose nano or a ResNet preset."
)
NANO = Need(lambda c: c.model.preset == "nano", "model.preset", "Set --model.preset nano.")
NARROW = Need(
    lambda c: c.model.preset in ("nano", "resnet18_fpn"), "model.preset", "Choose nano or resnet18_fpn."
)
NOT_NANO = Need(lambda c: c.model.preset != "nano", "model.preset", "Choose another preset than nano.")
WSD = Need(lambda c: c.schedule.kind == "wsd", "schedule.kind", "Set --schedule.kind wsd.")
PLATEAU = Need(lambda c: c.schedule.kind == "plateau", "schedule.kind", "Set --schedule.kind plateau.")
VALIDATED = Need(
    lambda c: not c.data.merge_valid or c.data.untouched_fraction > 0,
    "data.untouched_fraction",
    "Set --data.untouched-fraction above 0.",
)
BY_ROUND = Need(
    lambda c: c.schedule.plateau_compare == "round",
    "schedule.plateau_compare",
    "Set --schedule.plateau-compare round.",
)

NEEDS: dict[str, tuple[Need, ...]] = {
    "data.parts": (PARTS,),
    "data.part_order": (PARTS,),
    "data.hold_out": (PARTS, KEPT, TWO_PARTS),
    "data.untouched_fraction": (MERGED,),
    "data.also_epochs": (ALSO,),
    "data.read_ahead": (WORKERS,),
    "augment.max_rotation_degrees": (PHOTO,),
    "augment.max_shift": (PHOTO,),
    "augment.max_zoom_out": (PHOTO, ZOOMED),
    "augment.zoom_out_probability": (PHOTO,),
    "augment.crop_probability": (PHOTO,),
    "model.trainable_stages": (STAGED,),
    "model.nano_widths": (NANO,),
    "model.fpn_channels": (NARROW,),
    "model.head_channels": (NARROW,),
    "optimizer.backbone_lr_factor": (NOT_NANO,),
    "schedule.decay_fraction": (WSD,),
    "schedule.branch_epochs": (WSD,),
    "schedule.plateau_factor": (PLATEAU,),
    "schedule.plateau_patience": (PLATEAU,),
    "schedule.plateau_compare": (PLATEAU, PARTS),
    "schedule.plateau_first_cycle": (PLATEAU, PARTS, BY_ROUND),
    "schedule.plateau_floor": (PLATEAU,),
    "train.looks": (VALIDATED,),
    "train.score_parts": (PARTS,),
}
"""Settings that have no effect unless others have certain values."""


def check_config(config: Config, named: Collection[str] = ()) -> None:
    """Refuse what cannot be trained, and settings that would do nothing.

    Args:
        config: All settings.
        named: Those that the user gave, by dotted name. Those that differ from their default count, too.

    Raises:
        ConfigError: Names the setting, its value, and the other setting where there is one.
    """
    for name, (low, high) in RANGES.items():
        for number in _numbers(setting(config, name)):
            if not low <= number <= high:
                allowed = f"at least {low:g}" if high in (10**9, inf) else f"from {low:g} to {high:g}"
                raise ConfigError(f"{name} is {setting(config, name)}, must be {allowed}")
    for name, need in unused_settings(config).items():
        if name in named or setting(config, name) != default_of(name):
            raise ConfigError(
                f"{name} {setting(config, name)} has no effect, "
                f"since {need.setting} is {setting(config, need.setting)}",
                hint=f"{need.hint} Or leave {name} out.",
            )
    if config.train.memory_budget is not None:
        parse_size(config.train.memory_budget)
    _check_lists(config)
    _check_validation(config)
    _check_branches(config)
    data = config.data
    if data.in_parts and data.workers and "fork" not in multiprocessing.get_all_start_methods():
        raise ConfigError(
            f"data.strategy {data.strategy} with data.workers {data.workers}: this system does not fork",
            hint="Parts in memory are shared with forked processes only: set --data.workers 0.",
        )


def drop_unused(config: Config, keep: Collection[str] = ()) -> tuple[Config, list[str]]:
    """Set to their defaults the settings that other settings make useless, for example those of a recipe.

    Args:
        config: All settings.
        keep: Settings that are left alone, by dotted name: `check_config` refuses them.

    Returns:
        The settings that are left, and a sentence for each that was dropped.

    >>> from digitspot.config import ScheduleConfig
    >>> config = Config(schedule=ScheduleConfig(kind="cosine", branch_epochs=(18,)))
    >>> drop_unused(config)[1]
    ['schedule.branch_epochs (18,) is left out, since schedule.kind is cosine']
    """
    said = []
    for name, need in unused_settings(config).items():
        value, default = setting(config, name), default_of(name)
        if value != default and name not in keep:
            config = _with_setting(config, name, default)
            said.append(
                f"{name} {value} is left out, since {need.setting} is {setting(config, need.setting)}"
            )
    name, branches = "schedule.branch_epochs", config.schedule.branch_epochs
    fitting = tuple(each for each in branches if each < config.train.epochs)
    if fitting != branches and name not in keep:
        config = _with_setting(config, name, fitting)
        said.append(f"{name} {branches} is now {fitting}, since train.epochs is {config.train.epochs}")
    return config, said


def _with_setting(config: Config, name: str, value: Any) -> Config:
    section, _, key = name.partition(".")
    return replace(config, **{section: replace(getattr(config, section), **{key: value})})


def unused_settings(config: Config) -> dict[str, Need]:
    """Return the settings that have no effect, with the first need that is not met."""
    unmet = ((name, [need for need in needs if not need.met(config)]) for name, needs in NEEDS.items())
    return {name: needs[0] for name, needs in unmet if needs}


def setting(config: Config, name: str) -> Any:
    """Return the value of a setting by its dotted name."""
    section, _, key = name.partition(".")
    return getattr(getattr(config, section), key)


def default_of(name: str) -> Any:
    """Return the default of a setting by its dotted name."""
    return setting(Config(), name)


def parse_size(text: str) -> int:
    """Return the bytes that a setting names.

    Raises:
        ConfigError: It is no size.

    >>> parse_size("2GiB"), parse_size("1.5 MB")
    (2147483648, 1500000)
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in UNITS:
        raise ConfigError(f"{text!r} is no size of memory", hint="Write it as 2GiB or 800MiB.")
    return round(float(match[1]) * UNITS[match[2].upper()])


def _numbers(value: Any) -> list[float]:
    """Return the numbers in a value, in nested lists or alone."""
    if isinstance(value, tuple):
        return [number for each in value for number in _numbers(each)]
    return [] if value is None else [value]


def _check_lists(config: Config) -> None:
    model = config.model
    if len(model.nano_widths) != 4:
        raise ConfigError(f"model.nano_widths is {model.nano_widths}, must be four numbers")
    for name, values in (("anchor_sizes", model.anchor_sizes), ("anchor_ratios", model.anchor_ratios)):
        if values is not None and not (values and all(values)):
            raise ConfigError(f"model.{name} is {values}, must not be empty")
    sizes, levels = model.anchor_sizes, LEVELS[model.preset]
    if sizes is not None and len(sizes) != levels:
        raise ConfigError(
            f"model.anchor_sizes has {len(sizes)} levels, model.preset {model.preset} has {levels}",
            hint="Give a list of sizes for each level, such as [[12, 18], [25, 35]] for two levels.",
        )
    if sizes is not None and len({len(level) for level in sizes}) > 1:
        raise ConfigError(f"model.anchor_sizes is {sizes}, must have as many sizes on every level")


def _check_validation(config: Config) -> None:
    """With all of `valid` merged, only what was scored before it was first trained on is honest."""
    train = config.train
    if train.select_by == "loss" and not config.counts_rounds:
        raise ConfigError(
            f"train.select_by is loss, but schedule.kind is {config.schedule.kind} "
            f"and data.strategy is {config.data.strategy}",
            hint="A round's loss needs --schedule.kind plateau and --data.strategy parts or prepared.",
        )
    if not (config.data.merge_valid and config.data.untouched_fraction == 0):
        return
    if not train.score_parts:
        raise ConfigError(
            "data.merge_valid with data.untouched_fraction 0 leaves nothing to validate on",
            hint="Keep a fraction, or score parts before they are trained on: --train.score-parts.",
        )
    if train.early_stopping and not config.counts_rounds:
        raise ConfigError(
            f"train.early_stopping is {train.early_stopping}: it needs validations, "
            "and data.untouched_fraction is 0"
        )
    if train.select_by != default_of("train.select_by"):
        raise ConfigError(
            f"train.select_by is {train.select_by}, but data.untouched_fraction is 0: "
            "nothing is selected, and the last model is kept"
        )


def _check_branches(config: Config) -> None:
    branches, train = config.schedule.branch_epochs, config.train
    if branches and train.early_stopping:
        raise ConfigError(
            f"train.early_stopping is {train.early_stopping} and schedule.branch_epochs {branches}",
            hint="A trunk that stops early has no branches; leave one of them out.",
        )
    if any(epochs >= train.epochs for epochs in branches):
        raise ConfigError(
            f"schedule.branch_epochs is {branches}, must be below train.epochs ({train.epochs})"
        )
