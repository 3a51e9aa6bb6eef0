"""A `digitStruct.mat` as MATLAB wrote SVHN's, made with the HDF5 library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5g, h5p, h5r, h5s, h5t

Box = tuple[float, float, float, float, float]
"""Label (10 is the digit 0), left, top, width, height."""
FIELDS = ("height", "label", "left", "top", "width")
_PLACE = {"label": 0, "left": 1, "top": 2, "width": 3, "height": 4}


class Writer:
    """Writes objects into `/#refs#`, named by a counter, and returns references to them.

    What MATLAB adds to each object, an attribute with its class, is written with `attributes`.
    """

    def __init__(self, file: h5py.File, attributes: bool = False) -> None:
        self.refs = file.create_group("#refs#").id
        self.attributes = attributes
        self.number = 0
        self.scalar = h5s.create_simple((1, 1))
        self.options = h5p.create(h5p.DATASET_CREATE)
        self.options.set_obj_track_times(attributes)

    def _next(self) -> bytes:
        self.number += 1
        return b"%x" % self.number

    def dataset(self, values: np.ndarray, kind: Any, group: Any = None, name: bytes = b"") -> Any:
        """Write values; return a reference, or nothing for a member of a group."""
        place, label = (self.refs, self._next()) if group is None else (group, name)
        space = self.scalar if values.shape == (1, 1) else h5s.create_simple(values.shape)
        dataset = h5d.create(place, label, kind, space, self.options)
        dataset.write(h5s.ALL, h5s.ALL, values)
        if self.attributes:
            h5py.Dataset(dataset).attrs["MATLAB_class"] = np.bytes_("double")
            h5py.Dataset(dataset).attrs["MATLAB_note"] = np.bytes_("long " * 20)  # a continuation block
        return h5r.create(self.refs, label, h5r.OBJECT) if group is None else None

    def number_reference(self, value: float) -> Any:
        return self.dataset(np.array([[value]]), h5t.IEEE_F64LE)

    def name(self, text: str) -> Any:
        letters = np.frombuffer(text.encode("utf-16-le"), "<u2").reshape(-1, 1)
        return self.dataset(letters, h5t.STD_U16LE)

    def boxes(self, boxes: Sequence[Box]) -> Any:
        label = self._next()
        group = h5g.create(self.refs, label)
        for field in FIELDS:
            values = [box[_PLACE[field]] for box in boxes]
            if len(values) == 1:
                self.dataset(np.array([values], float), h5t.IEEE_F64LE, group, field.encode())
            else:
                references = np.empty((len(values), 1), h5py.ref_dtype)
                for row, value in enumerate(values):
                    references[row, 0] = self.number_reference(value)
                self.dataset(references, h5t.STD_REF_OBJ, group, field.encode())
        return h5r.create(self.refs, label, h5r.OBJECT)


def write_digit_struct(
    path: Path, entries: Sequence[tuple[str, Sequence[Box]]], *, attributes: bool = False, **options: Any
) -> None:
    """Write such a file; `options` are of the two datasets of references, such as compression."""
    with h5py.File(path, "w", userblock_size=512, libver="earliest") as file:
        writer = Writer(file, attributes)
        pairs = [(writer.name(name), writer.boxes(boxes)) for name, boxes in entries]
        put_references(file, pairs, **options)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + b" " * 8 + b"\x00\x02IM")


def put_references(file: h5py.File, pairs: Sequence[tuple[Any, Any]], **options: Any) -> None:
    """Write `/digitStruct/name` and `/digitStruct/bbox`."""
    group = file.create_group("digitStruct")
    for column, field in enumerate(("name", "bbox")):
        references = np.empty((len(pairs), 1), h5py.ref_dtype)
        for row, pair in enumerate(pairs):
            references[row, 0] = pair[column]
        group.create_dataset(field, data=references, **options)
