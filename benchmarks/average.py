"""The mean of the weights of two models of one network: robust fine-tuning (Wortsman et al. 2022).

python benchmarks/average.py BEFORE.pt runs/after --output mean.pt

The second was trained further from the first. What else is in the model comes from the second; calibrate it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from digitspot.detector.trained import load_model, save_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the second")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    model = load_model(options.after)
    before = load_model(options.before).detector.state_dict()
    after = model.detector.state_dict()
    mean = {
        name: before[name].lerp(values, options.share) if values.is_floating_point() else values
        for name, values in after.items()
    }
    model.detector.load_state_dict(mean)
    save_model(model, options.output)


if __name__ == "__main__":
    main()
