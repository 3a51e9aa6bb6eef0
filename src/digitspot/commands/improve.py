"""`digitspot improve`: a better model from corrected readings, or the one that there is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.options import parse
from digitspot.errors import ConfigError
from digitspot.files import check_writable, claiming
from digitspot.labels.coco import labels_path_of
from digitspot.models import DEFAULT
from digitspot.progress import stderr, working


@dataclass(frozen=True, kw_only=True)
class ImproveOptions:
    """Train a model on corrected readings, and keep the result where it reads held-out ones better.

    digitspot improve photos-labels --output mine.onnx
    digitspot improve photos-labels --model mine.onnx --also older-labels
    """

    data: Annotated[Path, tyro.conf.Positional]
    """The data set that `digitspot label` wrote; some of its images are held out to judge by."""
    model: str = DEFAULT
    """What to improve: a name of `digitspot models` or an exported .onnx."""
    output: Path | None = None
    """The .onnx to write; none replaces --model, where that is a file."""
    also: tuple[Path, ...] = ()
    """Older data sets: their `train` is trained on, and their `valid`, where there is one, may not be read
    worse."""


def run(arguments: list[str]) -> None:
    """Train, judge, and write the model if it is better."""
    options = parse(ImproveOptions, "improve", arguments)
    output = options.output or Path(options.model)
    if output.suffix.lower() != ".onnx":
        raise ConfigError(f"{output} does not end in .onnx", hint="Give --output FILE.onnx.")
    check_writable(output.parent)
    with claiming(output.with_name(f".{output.stem}-improving.lock")) as mine:
        if not mine:
            raise ConfigError(f"another `digitspot improve` writes {output}", hint="Wait for it.")
        _improve(options, output)


def _improve(options: ImproveOptions, output: Path) -> None:
    from digitspot.detector.export import export_onnx  # needs torch
    from digitspot.detector.trained import load_model
    from digitspot.finetune import ABOUT, inherit, prepare_start
    from digitspot.training.run import resume_training, start_training
    from digitspot.training.runlog import Run
    from digitspot.verdict import judge

    folder = output.with_name(f".{output.stem}-improving")
    if folder.exists() and not (folder / ABOUT).is_file():
        raise ConfigError(f"{folder} is in the way", hint="It is no training of this command; move it.")
    try:
        start = prepare_start(options.data, folder, options.model, options.also)
    except ConfigError:  # more was labelled since the training was interrupted
        shutil.rmtree(folder)
        start = prepare_start(options.data, folder, options.model, options.also)
    if Run(folder).started:
        resume_training(folder, start.data)
    else:
        start_training(start.config, start.data, folder)
    inherit(folder, options.model, start.data)
    with working("comparing both models"):
        verdicts = {options.data: judge(folder, options.model, start.data)}
        for each in options.also:
            if labels_path_of(each, "valid").is_file():
                verdicts[each] = judge(folder, options.model, each)
    for name, verdict in verdicts.items():
        for sentence in verdict.sentences(options.model):
            stderr().print(f"{name}: {sentence}", markup=False)
    own, *others = verdicts.values()
    is_better = own.is_better and all(each.gain.value >= 0 for each in others)
    target = output if is_better else output.with_name(f"{output.stem}-unproven.onnx")
    model = load_model(folder)
    export_onnx(model.detector, model.info, target)
    if not is_better:
        stderr().print(f"{options.model} stays as it was; what was trained is {target}", markup=False)
    shutil.rmtree(folder)
    print(target)
