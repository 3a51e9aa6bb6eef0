"""Lets pages of the site link to files of the repository, such as result tables: they become pages, too."""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
SHOWN = ("benchmarks/**/*.md", "models/*.md", "src/digitspot/recipes/**/*.yaml", "examples/*.*")
"""Files outside docs/ that the site has, at their own paths."""
TOUR = "tour.md"
"""The notebook of docs/ as a page."""
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside docs/."""
    for path in sorted(path for pattern in SHOWN for path in ROOT.glob(pattern)):
        name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        if path.suffix != ".md":
            text = f"# {path.name}\n\n```{path.suffix[1:]}\n{text}```\n"
        files.append(File.generated(config, page_of(name), content=text))
    cells = json.loads((ROOT / "docs" / "tour.ipynb").read_text(encoding="utf-8"))["cells"]
    files.append(File.generated(config, TOUR, content="\n\n".join(map(cell_text, cells))))
    return files


def cell_text(cell: dict[str, Any]) -> str:
    """Return a cell of a notebook as Markdown."""
    text = "".join(cell["source"])
    return text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between places in the repository into links between pages."""
    here = page.file.src_uri
    own = here == TOUR or not page.file.generated_by
    folder = posixpath.dirname(f"docs/{here}" if own else here)

    def moved(link: re.Match[str]) -> str:
        name = posixpath.normpath(posixpath.join(folder, link[1]))
        return posixpath.relpath(page_of(name.removeprefix("docs/")), posixpath.dirname(here) or ".")

    return LINK.sub(moved, markdown)


def page_of(name: str) -> str:
    """Return the page that shows a file of the repository."""
    return f"{name}.md" if name.endswith((".yaml", ".py", ".sh")) else name.replace(".ipynb", ".md")
