"""`digitspot report`: one page that shows how runs or an ablation went."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.options import parse
from digitspot.errors import ConfigError
from digitspot.progress import working
from digitspot.report.build import check_output, write_report
from digitspot.report.subject import read_subject


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Write one HTML page, without any request to the network, and the same in Markdown: scores with
    intervals, how the training went, where boxes and numbers go wrong, every kind of mistake with images,
    and how to repeat it.

    digitspot report runs/mine --answers answers --labels DATA/test.json
    digitspot report answers-one answers-other --labels DATA/test.json
    digitspot report runs/dropout --labels DATA/test.json --output dropout.html
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders side by side, folders of answers, or the folder of one ablation."""
    labels: Path | None = None
    """The true labels of the answers, their images beside them; without, only trainings are shown."""
    answers: tuple[Path, ...] = ()
    """What `digitspot predict` wrote for each run, in their order; none is `answers` in the run."""
    output: Path = Path("report.html")
    """The page; the Markdown stands beside it under the same name, ending in .md. An earlier report there is
    replaced; a .md file that is none stops the command."""
    mistakes: int = 40
    """Images of each kind of mistake, the surest first."""
    resamples: int = 1000
    """Bootstrap resamples over images for the intervals."""


def run(arguments: list[str]) -> None:
    """Write a report."""
    options = parse(ReportOptions, "report", arguments)
    if not options.runs:
        raise ConfigError("no run to report on", hint="digitspot report RUN... --labels test.json")
    if options.mistakes < 0 or options.resamples < 1:
        raise ConfigError(f"{options.mistakes} mistakes, {options.resamples} resamples: too few")
    check_output(options.output)
    with working("scoring and drawing"):
        subject = read_subject(options.runs, options.answers, options.labels, options.resamples)
        paths = write_report(
            subject, options.output, most_mistakes=options.mistakes, num_resamples=options.resamples
        )
    for path in paths:
        print(path)
