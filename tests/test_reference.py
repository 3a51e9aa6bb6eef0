"""docs/reference.md is what the code says."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_reference_is_made_from_this_code() -> None:
    made = runpy.run_path(str(DOCS / "make_reference.py"))["reference"]()
    written = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert written == made, "run: python docs/make_reference.py"
    assert made.count("\n| `") > 80, "every setting has a line"
