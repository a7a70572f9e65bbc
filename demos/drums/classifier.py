"""Write the classifier of drum hits for `instruments.drums.guess`.

    python -m demos.drums.classifier [--cache FOLDER] -o classes.safetensors

Run `collect_hits` and `dataset` first. It prints how often the classifier is right on sounds it never learned from.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from demos.drums.dataset import load_features
from demos.drums.hit_store import DEFAULT_CACHE
from demos.drums.judges import Classifier
from neural_fx.files import replacing


def main() -> None:
    """Train the classifier and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    features = load_features(options.cache)
    judge = Classifier(features.where(features.split == "train"))
    with replacing(options.out) as part:
        save_file(judge.arrays(), part)
    for source in np.unique(features.source):
        test = features.where((features.source == source) & (features.split != "train") & (features.drum >= 0))
        print(f"{source}: {judge.accuracy(test.levels, test.drum):.2f} of {len(test.drum)} hits")


if __name__ == "__main__":
    main()
