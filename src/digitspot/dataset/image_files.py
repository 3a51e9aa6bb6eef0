"""Images read from their own files each time, in the order and the size of a pack of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from digitspot.dataset.pack import pack_index
from digitspot.dataset.pack_plan import PackPlan
from digitspot.dataset.samples import Samples
from digitspot.errors import DataError
from digitspot.images import decode_image
from digitspot.labels.labels import LabelSet
from digitspot.labels.rules import size_problem
from digitspot.types import ImageArray, IntArray


class ImageFiles(Samples):
    """A split whose images are decoded when they are asked for; nothing is written.

    Args:
        plan: Of the pack that holds the same images in the same order.
        labels: The split's labels.
        images_dir: The folder that their file names are relative to.
    """

    def __init__(self, plan: PackPlan, labels: LabelSet, images_dir: Path) -> None:
        index = pack_index(labels, plan.rows, plan.sizes_hw, np.zeros(len(labels), np.uint32))
        super().__init__(index, labels.categories)
        self.images_dir = images_dir

    def image(self, i: int) -> ImageArray:
        """Decode an image, uint8 `[H, W, 3]`, reduced as a pack would store it.

        Raises:
            DataError: The file is missing, broken, or not of the size that it was.
        """
        path = self.images_dir / str(self.file_names[i])
        try:
            return decode_stored(path.read_bytes(), self.original_sizes_hw[i], self.sizes_hw[i])
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
        except DataError as error:
            raise DataError(f"{path}: {str(error).removeprefix('image: ')}", hint=error.hint) from error


def decode_stored(content: bytes, original_hw: IntArray, stored_hw: IntArray) -> ImageArray:
    """Decode an image as a pack stores it.

    Args:
        content: The file.
        original_hw: int64 `[2]`, the height and width that it must have.
        stored_hw: int64 `[2]`, the height and width to reduce it to.

    Raises:
        DataError: It cannot be decoded, or has another size.
    """
    image = decode_image(content)
    problem = size_problem(image.shape[:2], original_hw.tolist())
    if problem:
        raise DataError(problem)
    height, width = stored_hw.tolist()
    if image.shape[:2] == (height, width):
        return image
    # Bilinear and antialiased, as `preprocess.prepare` reduces.
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR), np.uint8)
