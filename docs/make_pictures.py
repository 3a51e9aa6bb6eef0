"""Draw the pictures of the README and of the site, and print their Markdown: `python docs/make_pictures.py`.

Of each domain, generated images in typefaces that no training image shows: the first four, whatever is
read in them, and the two that are read wrongly with the highest probability. Large photographs are left out:
their digits could not be seen on a page.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

from digitspot import Reader
from digitspot.images import decode_image
from digitspot.labels.coco import read_labels
from digitspot.labels.labels import LabelledImage
from digitspot.overlays import contact_sheet, draw_overlay
from digitspot.reads import Read
from digitspot.synth.generate import SynthRequest
from digitspot.synth.write import synthesize

DOCS = Path(__file__).parent
DOMAINS = {"houses": "house", "meters": "meter", "displays": "display", "jerseys": "jersey", "signs": "sign"}
NUM_MADE, SEED = 60, 41
NUM_FIRST, NUM_WRONG = 4, 2
MAX_SIDE = 480


def main() -> None:
    """Draw all of them."""
    reader = Reader.load("general")
    first = []
    for domain, name in DOMAINS.items():
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / domain
            synthesize(
                made, SynthRequest(train=0, valid=0, test=NUM_MADE, seed=SEED, domain=domain, loose=True)
            )
            labels = read_labels(made / "test.json", clip=False).images
            small = [image for image in labels if max(image.size_hw) <= MAX_SIDE]
            files = [made / "test" / image.file_name for image in small]
            answers = list(zip(small, files, reader.read_whole(files), strict=True))
            first += [
                draw(*each, f"{name}{place}") for place, each in enumerate(answers[:NUM_FIRST], start=1)
            ]
            wrong = [each for each in answers if each[2].reading.text != each[0].number]
            wrong.sort(key=lambda each: -each[2].reading.probability)
            for place, each in enumerate(wrong[:NUM_WRONG], start=1):
                draw(*each, f"{name}-wrong{place}")
    sheet = contact_sheet(first, columns=NUM_FIRST)
    sheet.thumbnail((1400, 1400))
    sheet.save(DOCS / "pictures" / "readings.webp", quality=80)


def draw(image: LabelledImage, file: Path, read: Read, name: str) -> Image.Image:
    """Draw what was read in an image."""
    drawn = draw_overlay(decode_image(file), read.reading, read.detections, image.number)
    drawn.thumbnail((400, 400))
    drawn.save(DOCS / "pictures" / f"{name}.webp", quality=82)
    shown, answer = image.number or "no number", read.reading.text or "no number"
    print(f"![{shown}, read as {answer}](pictures/{name}.webp)")
    return drawn


if __name__ == "__main__":
    main()
