"""From runs to the two files of a report."""

from __future__ import annotations

from pathlib import Path

from digitspot.errors import ConfigError
from digitspot.files import check_writable, writing_whole
from digitspot.report.ablation import ablation_section
from digitspot.report.blocks import Section, Text
from digitspot.report.mistakes import mistake_sections
from digitspot.report.page import MARKER, to_html, to_markdown
from digitspot.report.repeat import repeat_section
from digitspot.report.scores import box_section, number_section, score_section
from digitspot.report.subject import Subject
from digitspot.report.training import training_section

NO_SCORES = (
    "No answers are compared with labels. `digitspot predict` writes answers; --labels names the true labels."
)


def check_output(output: Path) -> None:
    """See, before long work begins, that a page and its Markdown may be written.

    Raises:
        ConfigError: It does not end in .html, or the Markdown would replace a file of another kind.
        DigitspotError: The folder cannot be written.
    """
    if output.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--output {output} does not end in .html")
    markdown = output.with_suffix(".md")
    if markdown.exists() and not _is_ours(markdown):
        raise ConfigError(
            f"--output {output} would replace {markdown}, which `digitspot report` did not write",
            hint="Choose another --output, or move that file away.",
        )
    check_writable(output.parent)


def _is_ours(markdown: Path) -> bool:
    if not markdown.is_file():
        return False
    with open(markdown, "rb") as file:
        return file.readline().strip() == MARKER.encode()


def write_report(subject: Subject, output: Path, *, most_mistakes: int, num_resamples: int) -> list[Path]:
    """Write the page and, beside it, the same in Markdown.

    Args:
        subject: What it is about.
        output: The page, ending in .html.
        most_mistakes: Images of each kind of mistake.
        num_resamples: Bootstrap resamples for differences between runs.

    Raises:
        DataError: An image cannot be read.
        DigitspotError: The files cannot be written.
    """
    sections = build_sections(subject, most_mistakes, num_resamples)
    about = _about(subject)
    written = {output: to_html, output.with_suffix(".md"): to_markdown}
    for path, make in written.items():
        with writing_whole(path) as file:
            file.write(make(subject.title, about, sections))
    return list(written)


def build_sections(subject: Subject, most_mistakes: int, num_resamples: int) -> list[Section]:
    """Return the sections; those without content are left out."""
    of_ablation = subject.ablation is not None
    sections = [] if subject.ablation is None else [ablation_section(subject.ablation)]
    scored = subject.scored
    if scored:
        scores = score_section(scored, num_resamples, of_ablation=of_ablation)
        if missing := [source.name for source in subject.sources if source.answers is None]:
            scores.blocks.append(Text(f"Without answers: {', '.join(missing)}."))
        sections.append(scores)
    else:
        sections.append(Section("Scores", [Text(NO_SCORES)]))
    if any(source.metrics for source in subject.sources):
        sections.append(training_section(subject.sources))
    if scored:
        sections += [box_section(scored), number_section(scored), *mistake_sections(scored, most_mistakes)]
    sections.append(repeat_section(subject))
    return [section for section in sections if section.blocks]


def _about(subject: Subject) -> str:
    parts = []
    for source in subject.sources:
        seen = max((record.get("images_seen", 0) for record in source.metrics), default=0)
        minutes = max((record.get("seconds", 0) for record in source.metrics), default=0) / 60
        trained = f"{source.name}: trained on {seen:,} images in {minutes:,.1f} minutes"
        parts.append(trained if seen else source.name)
    return "; ".join(parts)
