"""`digitspot label`: correct what a model reads in a folder, in a browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.options import parse
from digitspot.files import printable
from digitspot.progress import stderr, tracking
from digitspot.reader import Reader


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Look through a folder of images in a browser, the least certain first, and correct what was read.

    digitspot label photos
    digitspot train --data photos-labels
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """The images; subfolders count."""
    output: Path | None = None
    """The data set that labels go to, which is gone on with; none is the folder's name with -labels."""
    model: str | None = None
    """A name of `digitspot models`, a run folder, a checkpoint or an exported .onnx; none is the default."""
    port: int = 8001
    """Where the page is, on this machine."""


def run(arguments: list[str]) -> None:
    """Read the folder, then serve the page until Ctrl-C."""
    options = parse(LabelOptions, "label", arguments)
    import uvicorn

    from digitspot.serve.app import create_app
    from digitspot.serve.folder import LabelFolder
    from digitspot.serve.processes import check_address
    from digitspot.serve.settings import ServeSettings

    check_address("127.0.0.1", options.port)
    reader = Reader.load(options.model)
    folder = options.folder.resolve()
    output = options.output or folder.with_name(f"{folder.name}-labels")
    with tracking("reading") as show:
        images = LabelFolder(folder, output, reader, show)
    for error in images.unread:
        stderr().print(f"left out: {printable(str(error))}", markup=False)
    if images.skipped:
        names = ", ".join(printable(path.name) for path in images.skipped[:3])
        stderr().print(f"{len(images.skipped)} files are no images that can be read: {names}", markup=False)
    app = create_app(ServeSettings(model=options.model), reader, images)
    stderr().print(f"open http://127.0.0.1:{options.port}/ in a browser; Ctrl-C ends", markup=False)
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning")
    print(output)
