"""Every setting of a training. The attribute docstrings are the help of the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where images come from and how they are kept."""

    longest_side: int | None = None
    """Reduce images whose longer side exceeds this when packing; none keeps them as they are."""
    pack_root: str | None = None
    """Folder of the packs; none is $DIGITSPOT_CACHE or the user's cache folder."""
    strategy: Literal["files", "pack", "parts", "prepared"] = "pack"
    """files decodes each time; pack shuffles all decoded ones; parts trains on one part in memory at a time;
    prepared does so with images augmented once, the report's way."""
    parts: int = 10
    """parts, prepared: how many parts the images are split into at random; two are in memory at a time."""
    part_order: Literal["each_cycle", "once"] = "each_cycle"
    """parts, prepared: split anew after each cycle, or keep the same parts in the same order."""
    hold_out: bool = False
    """parts, prepared: leave one part after the other out of a cycle, and score it at the cycle's end."""
    merge_valid: bool = False
    """Train on `valid`, too, but for an untouched slice, which alone is validated and selected by."""
    untouched_fraction: float = 0.1
    """merge_valid: fraction of `valid` that stays untouched, the same for every seed. With 0 the last model
    is kept and calibrated on a part that was scored in the first cycle."""
    images: int | None = None
    """Train on so many images of `train` only, drawn at random, the same for every seed; none is all."""
    also: tuple[str, ...] = ()
    """Further data sets whose `train` is trained on, too. generated:DOMAIN:IMAGES, as generated:empty:2000,
    is generated at first use and kept in the cache."""
    also_epochs: int | None = None
    """also: only in the first so many epochs; later ones show the data set alone. None is in all."""
    workers: int = 1
    """Processes that prepare batches; 0 prepares them in the training process."""
    read_ahead: int = 2
    """Batches that each of them prepares ahead."""

    @property
    def in_parts(self) -> bool:
        """Whether images are dealt into parts that are trained on from memory."""
        return self.strategy in ("parts", "prepared")


@dataclass(frozen=True, kw_only=True)
class InputConfig:
    """The size rule: how an image of any size becomes the network's input."""

    short_side: int = 96
    """The shorter side is resized to this, in pixels."""
    long_side: int = 256
    """The longer side is never above this; the shorter one then gets smaller."""
    multiple: int = 32
    """Batches are padded to multiples of this, the coarsest stride of the network."""
    train_short_sides: tuple[int, ...] = ()
    """Shorter sides to draw from, one per batch, while training; empty uses short_side."""
    upscale: int = 1
    """Bicubic enlargement before the size rule, in training and in use: the report's super-resolution."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Fresh augmentation; no preset flips, since a mirrored digit is another sign."""

    preset: Literal["none", "seed", "photo", "strong"] = "photo"
    """none; seed, the report's colours, blur and black square; photo, also rotation, shift and zoom-out;
    strong, also other colours, shear, stretch, low resolution, JPEG, and crops without the number."""
    max_rotation_degrees: float = 5.0
    """photo, strong: largest rotation to either side."""
    max_shift: float = 0.06
    """photo, strong: largest shift as a fraction of width and height."""
    max_zoom_out: float = 2.0
    """photo, strong: the image is shrunk by up to this within its frame, the border continued."""
    zoom_out_probability: float = 0.6
    """photo, strong: fraction of images that are zoomed out."""
    crop_probability: float = 0.0
    """photo, strong: fraction of images that are cropped around their number, before any zoom-out."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The detector. Names and meanings are torchvision's."""

    preset: Literal["nano", "resnet18_fpn", "mobilenet_v3_large_fpn", "resnet50_fpn_v2"] = "resnet18_fpn"
    """Which network."""
    weights: str = "none"
    """Where to start: "coco" (torchvision's detector), "imagenet" (its backbone), "none", or a file."""
    batch_norm: Literal["live", "frozen"] = "live"
    """live uses the statistics of each batch; frozen keeps those that were loaded."""
    trainable_stages: int | None = None
    """nano, ResNets: stages of the backbone that learn, from the last (5 with the stem); none is all."""
    nano_widths: tuple[int, ...] = (32, 64, 128, 192)
    """nano: channels at strides 4, 8, 16 and 32."""
    fpn_channels: int = 128
    """nano, resnet18_fpn: width of the pyramid."""
    head_channels: int = 512
    """nano, resnet18_fpn: width of the box head."""
    anchor_sizes: tuple[tuple[int, ...], ...] | None = None
    """Anchor sides (square root of the area) of each pyramid level, in input pixels; none is the preset's."""
    anchor_ratios: tuple[float, ...] | None = None
    """Anchor height over width, on every level; none is the preset's."""
    rpn_pre_nms_train: int = 2000
    """Proposals for each level before nms, training."""
    rpn_pre_nms_test: int = 1000
    """Proposals for each level before nms, prediction."""
    rpn_post_nms_train: int = 2000
    """Proposals for each image after nms, training."""
    rpn_post_nms_test: int = 1000
    """Proposals for each image after nms, prediction."""
    rpn_batch_size_per_image: int = 256
    """Anchors sampled for the proposal loss."""
    box_batch_size_per_image: int = 512
    """Proposals sampled for the box loss."""
    box_positive_fraction: float = 0.25
    """Fraction of digits among them."""
    dropout: float = 0.0
    """Fraction of the box head's features that an update sets to zero."""
    min_score: float = 0.001
    """Detections below this score are dropped; a ranking wants a low one."""
    max_iou: float = 0.5
    """Overlap above which two boxes of one digit class are one."""
    max_detections: int = 100
    """Detections kept for each image."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How weights move."""

    name: Literal["sgd", "adamw"] = "adamw"
    """Stochastic gradient descent with momentum, or AdamW."""
    lr: float = 1e-3
    """Peak learning rate."""
    backbone_lr_factor: float = 1.0
    """All but nano: the backbone's lr is this times the lr; 0 keeps the backbone as loaded."""
    weight_decay: float = 0.05
    """Decay of weight matrices; norms and biases have none."""
    momentum: float = 0.9
    """SGD's momentum; AdamW's first beta."""
    clip_norm: float = 10.0
    """Largest norm of the gradient; 0 does not clip."""
    accumulate: int = 1
    """Batches whose gradients are averaged into one update."""


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How the learning rate changes with the images seen."""

    kind: Literal["constant", "cosine", "plateau", "wsd"] = "cosine"
    """Constant; cosine to zero; halved on plateaus of validation; warm-up, stable, decay."""
    warmup_steps: int = 200
    """Updates over which the lr rises linearly from 0."""
    decay_fraction: float = 0.3
    """wsd: fraction of the training over which the lr falls (1 - sqrt; Hägele et al. 2024)."""
    branch_epochs: tuple[int, ...] = ()
    """wsd: shorter lengths whose cool-downs branch off the trunk; each equals a run of that length."""
    plateau_factor: float = 0.5
    """plateau: the lr is multiplied by this."""
    plateau_patience: int = 1
    """plateau: validations without improvement before it is; with parts, rounds."""
    plateau_compare: Literal["cycle", "round"] = "cycle"
    """plateau with parts, what must improve. cycle: the mean loss over as many rounds as there are parts.
    round: the loss of each round, as in the report. Both must fall below the lowest before."""
    plateau_first_cycle: bool = False
    """plateau_compare round: let the lr fall in the first cycle, too, as the report's code did."""
    plateau_floor: float = 1e-5
    """plateau: the lr falls no more once it is at or below this."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Length, precision, selection."""

    epochs: int = 10
    """Passes over the training images."""
    max_updates: int | None = None
    """End after this many updates, wherever that is and without a validation: to see that it runs."""
    batch_size: int = 16
    """Images in a batch, of all processes together."""
    seed: int = 0
    """Everything random is a function of it and of (epoch, image) or (step)."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Autocast. auto is bf16 where the device multiplies it, and fp32 elsewhere, where bf16 takes five times
    as long. fp16 scales gradients and needs CUDA."""
    ema_decay: float = 0.998
    """Weight averaging, warmed up; 0 does without."""
    device: str = "auto"
    """"auto", "cpu", "cuda" or "cuda:1"."""
    validate_every_epochs: int = 1
    """Validate after this many epochs, and after the last."""
    select_by: Literal["accuracy", "map", "loss"] = "accuracy"
    """What the best checkpoint is best in. accuracy, map: mean over valid and valid zoomed out.
    loss: the training loss of a round, as in the report; needs a plateau schedule with parts."""
    looks: int = 1
    """Looks of the finished model at most, 1 to 4; the reader is fitted to them on `valid`, as by `digitspot
    calibrate --looks`."""
    early_stopping: int = 0
    """Stop after this many validations without improvement, or rounds of a plateau; 0 never stops early."""
    prequential_fading: float = 0.99
    """Weight of the past in the faded mean of losses, each from before its update (Gama et al. 2013)."""
    prequential_window: int = 100
    """Updates in the windowed mean of the same losses."""
    score_parts: bool = False
    """parts, prepared: detect on each part and score it, in evaluation, before it is trained on."""
    memory_budget: str | None = None
    """Most memory that the training may take on a machine, loader processes included, as 2GiB; none sets no
    limit."""
    max_batch_pixels: int | None = None
    """Batches of more padded pixels, in all processes together, are computed in pieces; none computes each in
    one. A budget sets it."""
    checkpoint_every_seconds: float = 120.0
    """How often `last` is written between validations."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a training."""

    data: DataConfig = field(default_factory=DataConfig)
    input: InputConfig = field(default_factory=InputConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def counts_rounds(self) -> bool:
        """Whether the lr falls and the training stops by rounds of parts rather than by validations."""
        return self.schedule.kind == "plateau" and self.data.in_parts
