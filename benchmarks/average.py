"""The mean of the weights of two models of one network: robust fine-tuning (Wortsman et al. 2022).

python benchmarks/average.py BEFORE.pt runs/after --output mean.pt

The second was trained further from the first. It has seen what either saw. What else is in the model comes
from the second; calibrate it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from digitspot.dataset.seen import Seen
from digitspot.detector.trained import load_model, save_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--fraction", type=float, default=0.5, help="of the second")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    model = load_model(options.after)
    first = load_model(options.before)
    before = first.detector.state_dict()
    after = model.detector.state_dict()
    mean = {
        name: before[name].lerp(values, options.fraction) if values.is_floating_point() else values
        for name, values in after.items()
    }
    model.detector.load_state_dict(mean)
    save_model(replace(model, seen=Seen(model.seen.keys | first.seen.keys)), options.output)


if __name__ == "__main__":
    main()
