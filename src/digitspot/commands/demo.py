"""`digitspot demo`: the whole way on generated images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from digitspot.commands.evaluate import print_scores
from digitspot.commands.options import parse
from digitspot.demo import run_demo


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Generate images of numbers, train briefly, read others in typefaces never trained on, score.

    Takes some minutes on two CPU cores; needs no network.

    digitspot demo --output demo
    """

    output: Path = Path("demo")
    """A new folder for everything that is made."""
    seed: int = 0
    """Of the images and of the training."""
    epochs: int | None = None
    """Passes over the training images; none is the demo's own length."""


def run(arguments: list[str]) -> None:
    """Run the demo."""
    options = parse(DemoOptions, "demo", arguments)
    scores = run_demo(options.output, options.seed, options.epochs)
    print_scores(scores)
    print(f"look at {options.output / 'answers' / 'overlays.png'}")
    print(f"read an image: digitspot read IMAGE --model {options.output / 'run'}")
