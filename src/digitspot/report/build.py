"""From runs to the two files of a report."""

from __future__ import annotations

from pathlib import Path

from digitspot.files import writing_whole
from digitspot.report.ablation import ablation_section
from digitspot.report.blocks import Section, Text
from digitspot.report.page import to_html, to_markdown
from digitspot.report.sections import (
    box_section,
    mistake_sections,
    number_section,
    repeat_section,
    score_section,
    scored_of,
    training_section,
)
from digitspot.report.sources import Subject


def write_report(subject: Subject, output: Path, *, most_mistakes: int, num_resamples: int) -> list[Path]:
    """Write the page and, beside it, the same in Markdown.

    Args:
        subject: What it is about.
        output: The page, ending in .html.
        most_mistakes: Pictures of each kind of mistake.
        num_resamples: Bootstrap resamples for differences between runs.

    Raises:
        DataError: A picture cannot be read.
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
    """Return the sections; those that nothing is known for are left out."""
    sections = [] if subject.ablation is None else [ablation_section(subject.ablation)]
    scored = scored_of(subject)
    if scored:
        sections.append(score_section(scored, num_resamples, subject.ablation is not None))
    else:
        missing = (
            "No answers are compared with labels: `digitspot predict` writes them, --labels names the truth."
        )
        sections.append(Section("Scores", [Text(missing)]))
    if any(source.metrics for source in subject.sources):
        sections.append(training_section(subject.sources))
    if scored:
        sections += [box_section(scored), number_section(scored)]
        sections += mistake_sections(scored, most_mistakes)
    sections.append(repeat_section(subject, scored))
    return [section for section in sections if section.blocks]


def _about(subject: Subject) -> str:
    parts = []
    for source in subject.sources:
        seen = max((record.get("images_seen", 0) for record in source.metrics), default=0)
        parts.append(f"{source.name}: trained on {seen:,} images" if seen else source.name)
    return "; ".join(parts)
