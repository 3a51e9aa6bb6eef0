"""A round with Label Studio: a model proposes labels, people correct them, and the model learns.

    python examples/label_studio.py propose PHOTOS
    python examples/label_studio.py learn PHOTOS/export.json

`propose` reads a folder of photographs. It writes PHOTOS-proposed/label-studio.json, to be imported into a
project whose labelling interface is PHOTOS-proposed/setup.xml. Label Studio shows the photographs when it is
started with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=PARENT,
the folder that PHOTOS is in, and the project has PHOTOS as a local storage.
`learn` takes the project's JSON export, saved beside the photographs. It checks the labels and trains the
model on them; options of `digitspot train` can follow.
Prints the run folder, and how many held-out numbers are read right before and after. Give it as --model to
propose more.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from digitspot.convert.label_studio import SETUP


def digitspot(*arguments: object) -> None:
    """Run a command of digitspot; people see what it prints."""
    subprocess.run([sys.executable, "-m", "digitspot", *map(str, arguments)], check=True)


def propose(photos: Path, model: str) -> None:
    """Read photographs, and write tasks that name them as Label Studio finds them."""
    output = photos.with_name(f"{photos.name}-proposed")
    digitspot("predict", model, photos, "--output", output, "--propose", "label-studio")
    path = output / "label-studio.json"
    tasks = json.loads(path.read_text(encoding="utf-8"))
    for task in tasks:
        task["data"]["image"] = f"/data/local-files/?d={quote(photos.name + '/' + task['data']['image'])}"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    (output / "setup.xml").write_text(SETUP, encoding="utf-8")


def learn(export: Path, model: str, options: list[str]) -> None:
    """Train on corrected labels."""
    corrected = export.parent.with_name(f"{export.parent.name}-corrected")
    digitspot("data", "convert", export, corrected, "--valid-fraction", 0)  # train holds out more
    digitspot("data", "check", corrected / "train.json")
    digitspot("train", "--data", corrected, "--start", model, *options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("step", choices=["propose", "learn"])
    parser.add_argument("path", type=Path)
    parser.add_argument("--model", default="general")
    given, further = parser.parse_known_args()
    path = given.path.resolve()
    propose(path, given.model) if given.step == "propose" else learn(path, given.model, further)
