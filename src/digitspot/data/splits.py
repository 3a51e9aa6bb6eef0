"""A split ready to use: labels read, pack open."""

from __future__ import annotations

from pathlib import Path

from digitspot.data.coco import find_split, read_labels
from digitspot.data.labels import LabelSet
from digitspot.data.pack import Pack
from digitspot.data.pack_build import open_or_build
from digitspot.errors import DataError
from digitspot.progress import stderr, tracking


def open_split(
    data: Path, name: str, pack_root: Path | None = None, longest_side: int | None = None
) -> tuple[LabelSet, Pack]:
    """Read the labels of a split and open its pack, building it where there is none.

    Boxes of `train` are clipped to the frame; other splits are measured on, and keep them as they are.

    Args:
        data: The data set, in the homework's layout.
        name: "train", "valid" or "test".
        pack_root: Where packs are kept; None is the default place.
        longest_side: Pictures with a longer side are reduced to it.

    Raises:
        DataError: Labels or pictures cannot be used, or there is no box to learn or to measure on.
    """
    split = find_split(data, name)
    labels = read_labels(split.labels_path, clip=name == "train")
    if not any(len(image.labels) for image in labels.images):
        raise DataError(f"{split.labels_path} has no box", hint="`digitspot data check` lists what is wrong.")
    console = stderr()
    with tracking(f"packing {name}") as show:
        pack = open_or_build(
            labels,
            split.images_dir,
            pack_root,
            longest_side=longest_side,
            progress=show,
            announce=lambda plan: console.print(plan.describe(), markup=False),
        )
    notes = "".join(f"; {count} {what}" for what, count in labels.notes.items() if count)
    console.print(f"{name}: {len(labels)} pictures{notes}", markup=False)
    return labels, pack
