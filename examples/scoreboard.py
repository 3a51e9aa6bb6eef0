"""Scores of a film: every change of a scoreboard, and when.

    pip install 'digitspot[watch]'
    python examples/scoreboard.py match.mp4 --home 0.1,0.8,0.15,0.15 --guest 0.75,0.8,0.15,0.15

--home and --guest are the places of the two numbers: x, y, width and height in fractions of the picture.
Two frames a second are looked at. Three of them at a time are voted to one score, so that a frame in which
somebody runs past the scoreboard does not count. Where the vote is not sure, the score before stays.
Prints a line for each change: the film's time, the home score and the guests' score.
"""

from collections.abc import Iterator
from itertools import islice

import av
import tyro

import digitspot
from digitspot.regions import parse_region

SECONDS = 0.5
"""Between two frames that are looked at."""
VOTED = 3
"""Frames that are voted to one score."""
SURE = 0.8
"""Less probable scores do not count."""


def frames(film: str) -> Iterator[av.VideoFrame]:
    """Yield a frame every `SECONDS`."""
    next_at = 0.0
    with av.open(film) as container:
        for frame in container.decode(video=0):
            if frame.time >= next_at:
                next_at = frame.time + SECONDS
                yield frame


def scores(film: str, regions: list[str]) -> Iterator[tuple[float, list[str | None]]]:
    """Yield a time and the numbers in the regions, for every `VOTED` frames."""
    reader = digitspot.Reader.load()
    readers = [reader.with_options(region=parse_region(each), abstain_below=SURE) for each in regions]
    looked_at = frames(film)
    while group := list(islice(looked_at, VOTED)):
        images = [frame.to_ndarray(format="rgb24") for frame in group]
        yield group[0].time, [each.read_burst(images).text for each in readers]


def main(film: tyro.conf.Positional[str], home: str, guest: str) -> None:
    """Print the score whenever it changes."""
    shown: list[str | None] = [None, None]
    for at, read in scores(film, [home, guest]):
        now = [new or old for new, old in zip(read, shown, strict=True)]
        if now != shown:
            print(f"{int(at // 60):02}:{at % 60:04.1f}  {now[0] or '-'} : {now[1] or '-'}", flush=True)
        shown = now


if __name__ == "__main__":
    tyro.cli(main)
