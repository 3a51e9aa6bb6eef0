"""The section that says how to repeat it: the data, the settings and the commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path

import numpy as np

from digitspot.labels.statistics import measure
from digitspot.report.answers import ScoredAnswers
from digitspot.report.blocks import Code, Section, Table, Text
from digitspot.report.subject import Source, Subject


def repeat_section(subject: Subject) -> Section:
    """Return the data, the settings and the commands."""
    section = Section("Data, settings and commands")
    for _, _, answers in subject.scored[:1]:
        section.blocks.append(_data_table(answers))
    if subject.ablation:
        section.blocks.append(Code(shlex.join(subject.ablation["command"]), "To repeat the ablation"))
    for source in subject.sources:
        if not subject.ablation:
            section.blocks.extend(_commands(source))
        if source.environment:
            packages = ", ".join(f"{k} {v}" for k, v in source.environment.get("packages", {}).items())
            machine = source.environment.get("machine", "an unknown machine")
            section.blocks.append(Text(f"{source.name} ran on {machine}: {packages}."))
        if source.config:
            section.blocks.append(Code(source.config, f"Settings of {source.name}"))
    return section


def _commands(source: Source) -> Iterator[Code | Text]:
    """Return what trains, answers and scores again, into folders of their own."""
    lines, said = [], True
    if source.config:
        data, config = source.environment.get("data", "DIR"), source.path / "config.yaml"
        lines.append(_line("train", config, "--data", data, "--output", _again(source.path)))
    if source.answers is not None:
        labels, folder, command = source.answers.labels.path, source.answers.folder, source.answers.command
        again, said = _again(folder), bool(command)
        if command:
            lines.append(shlex.join(_redirected(command, again)))
        elif source.config:
            lines.append(_line("predict", source.path, labels, "--output", again))
        else:
            again = folder
        lines.append(_line("evaluate", again, "--labels", labels))
    if lines:
        yield Code("\n".join(lines), f"To repeat {source.name}")
    if not said:
        yield Text(
            f"The answers of {source.name} do not say which command wrote them; its options, such as "
            "--precision, may not have been the usual ones."
        )


def _again(folder: Path) -> Path:
    """Return a folder beside it that is not there yet, for nothing to be overwritten."""
    names = chain([f"{folder}-again"], (f"{folder}-again-{number}" for number in count(2)))
    return next(path for path in map(Path, names) if not path.exists())


def _redirected(command: Sequence[str], output: Path) -> list[str]:
    """Return a command with another --output."""
    words = list(command)
    for i, word in enumerate(command):
        if word == "--output":
            words[i + 1 : i + 2] = [str(output)]
        elif word.startswith("--output="):
            words[i] = f"--output={output}"
    return words


def _data_table(answers: ScoredAnswers) -> Table:
    seen = measure(answers.labels)
    heights = np.quantile(seen.heights, [0.05, 0.5, 0.95]) if len(seen.heights) else np.zeros(3)
    rows = [
        ("labels", str(answers.labels.path)),
        ("images", f"{seen.num_images:,}"),
        ("digits", f"{int(seen.digits.sum()):,}"),
        ("numbers of 0, 1, 2 ... digits", ", ".join(f"{count:,}" for count in seen.lengths.tolist())),
        ("digits 0 to 9", ", ".join(f"{count:,}" for count in seen.digits.tolist())),
        ("digit height, 5, 50 and 95 %", ", ".join(f"{value:.0f}" for value in heights) + " pixels"),
    ]
    return Table(("data scored on", ""), rows)


def _line(*words: object) -> str:
    return shlex.join(["digitspot", *map(str, words)])
