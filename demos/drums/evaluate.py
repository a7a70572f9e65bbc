"""Measure the network of drum hits on sounds that it was never trained on, and print tables.

    python -m demos.drums.evaluate [--cache FOLDER] [--network FILE] [--sounds 200] [--json report.json]

Run `collect_hits` and `dataset` first. The kit ``rumpf`` is a source that the network never saw.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from bridge.cli.progress import Standing
from demos.drums.dataset import load_features
from demos.drums.hit_store import DEFAULT_CACHE
from demos.drums.judges import Classifier, cluster_shares
from instruments.drums.bands import level_distance, limited
from instruments.drums.classes import CLASSES
from instruments.drums.guess import coarse
from instruments.drums.instrument import DATA
from instruments.drums.likeness import nearest_numbers
from instruments.drums.network import DrumNetwork, Hit
from instruments.drums.rendering import render_hit
from instruments.drums.sines import Sines
from instruments.drums.training.features import Features
from instruments.drums.training.measures import distances, knob_report, nearest

CLUSTERS = 20


def baselines(train: Features, test: Features) -> dict[str, float]:
    """Return distances in dB of the mean training sound and of the nearest one, of the same class if it is known."""
    means, near = [], []
    for index in range(len(test.drum)):
        reference = limited(test.levels[index].astype(np.float32))
        same = train.where(train.drum == test.drum[index]) if test.drum[index] >= 0 else train
        levels = [limited(item.astype(np.float32)) for item in same.levels]
        means.append(level_distance(np.mean(levels, 0), reference))
        near.append(min(level_distance(item, reference) for item in levels))
    return {"mean_sound": round(float(np.mean(means)), 2), "nearest_training_sound": round(float(np.mean(near)), 2)}


def descent(network: DrumNetwork, test: Features) -> dict[str, float]:
    """Return the distance in dB of what the encoder finds, and of what `neural-fx drums --like` finds from there.

    The knobs are brought to their values in both, unlike in the distances of the network.
    """
    found = []
    for index, number in enumerate(test.drum):
        levels, sines = limited(test.levels[index].astype(np.float32)), Sines.from_vector(test.sines[index])
        found.append(nearest_numbers(network, CLASSES[number], levels, sines)[2:])
    after, before = np.mean(found, 0)
    return {"hits": len(found), "encoder": round(float(before), 2), "after_descent": round(float(after), 2)}


def generated(network: DrumNetwork, drums: np.ndarray, seed: int) -> list[Hit]:
    """Return one random hit of each class in a list."""
    random = np.random.default_rng(seed)
    return [network.decode(CLASSES[drum], *network.sample(CLASSES[drum], random)) for drum in drums]


def likeness(network: DrumNetwork, features: Features, sounds: int) -> dict[str, object]:
    """Compare random hits with recorded ones: clusters, a classifier, and the nearest training sounds.

    Args:
        network: that is measured.
        features: of all hits.
        sounds: number of random hits.
    """
    train = features.where(features.split == "train")
    real = train.where(train.source != "synthetic")
    held = features.where((features.split != "train") & (features.drum >= 0) & (features.source != "synthetic"))
    random = np.random.default_rng(5)
    # The classes of the random hits are as frequent as those of the training set, recorded and synthesised.
    drums = random.choice(train.drum, sounds)
    made = np.array([hit.levels for hit in generated(network, drums, 6)])
    judge = Classifier(train)
    clusters = cluster_shares(coarse(train.levels), CLUSTERS)
    synthetic_held = features.where((features.split == "held-out") & (features.source == "synthetic"))
    all_held = features.where(features.split == "held-out")
    made_near, made_source = nearest(coarse(made), coarse(train.levels), train.source)
    held_near, _ = nearest(coarse(held.levels), coarse(train.levels), train.source)
    train_near, _ = nearest(coarse(real.levels), coarse(train.levels), train.source, skip_self=True)
    every_class = np.arange(sounds) % len(CLASSES)
    balanced = np.array([hit.levels for hit in generated(network, every_class, 8)])
    return {
        "classifier": {
            "recorded_held_out": round(judge.accuracy(held.levels, held.drum), 3),
            "synthetic_held_out": round(judge.accuracy(synthetic_held.levels, synthetic_held.drum), 3),
            "generated": round(judge.accuracy(made, drums), 3),
            "generated_all_classes_alike": round(judge.accuracy(balanced, every_class), 3),
        },
        "clusters": {
            "generated": clusters.compare(coarse(made)),
            "held_out": clusters.compare(coarse(all_held.levels)),
        },
        "nearest_training_sound_db": {
            "generated": _quantiles(made_near),
            "recorded_held_out": _quantiles(held_near),
            "training_without_itself": _quantiles(train_near),
            "generated_by_source": {
                str(source): int((made_source == source).sum()) for source in np.unique(train.source)
            },
        },
    }


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return {
        name: round(float(np.quantile(values, q)), 2) for name, q in (("least", 0), ("tenth", 0.1), ("median", 0.5))
    }


def speed(network: DrumNetwork) -> dict[str, float]:
    """Return the milliseconds of one core that a hit takes, by class, shaping included."""
    random = np.random.default_rng(3)
    found = {}
    for drum in CLASSES:
        numbers = network.sample(drum, random)
        hit = network.decode(drum, *numbers)
        render_hit(hit.levels, hit.sines)
        began = time.process_time()
        for _ in range(5):
            hit = network.decode(drum, *numbers)
            render_hit(hit.levels, hit.sines)
        found[drum] = round((time.process_time() - began) / 5 * 1000, 1)
    return found


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--network", type=Path, default=DATA / "drums.safetensors")
    parser.add_argument("--sounds", type=int, default=200, help="number of random sounds")
    parser.add_argument("--json", type=Path, help="write the report to this file")
    options = parser.parse_args()
    features = load_features(options.cache)
    network = DrumNetwork.read(options.network)
    train = features.where(features.split == "train")
    report: dict[str, object] = {}
    with Standing(Console(stderr=True), "measuring") as progress:
        progress.show(0.05, "distances")
        by_source: dict[str, dict[str, float]] = {}
        by_descent = {}
        for source in np.unique(features.source):
            test = features.where((features.source == source) & (features.split != "train") & (features.drum >= 0))
            picked = test.where(np.random.default_rng(1).permutation(len(test.drum))[:60])
            found = {"hits": len(picked.drum), **distances(network, picked, picked.drum)}
            by_source[str(source)] = {**found, **baselines(train, picked)}
            if source != "synthetic":
                by_descent[str(source)] = descent(network, picked)
        seen = train.where(np.random.default_rng(1).permutation(np.flatnonzero(train.source != "synthetic"))[:60])
        by_source["recorded, trained on"] = {"hits": len(seen.drum), **distances(network, seen, seen.drum)}
        report["distance_db"] = by_source
        report["descent_db"] = by_descent
        progress.show(0.3, "knobs")
        report["knobs"] = knob_report(network, options.sounds, True)
        report["knobs_of_network_only"] = knob_report(network, options.sounds, False)
        progress.show(0.5, "knobs as audio")
        report["knobs_as_audio"] = knob_report(network, min(42, options.sounds), True, as_audio=True)
        progress.show(0.8, "likeness")
        report["likeness"] = likeness(network, features, options.sounds * 2)
        report["milliseconds"] = speed(network)
    text = json.dumps(report, indent=1)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    print_tables(report)


def print_tables(report: dict[str, object]) -> None:
    """Print a report as tables of Markdown."""
    for name, rows in report.items():
        print(f"\n{name}\n")
        if isinstance(rows, dict) and all(isinstance(row, dict) for row in rows.values()):
            columns = list(dict.fromkeys(column for row in rows.values() for column in row))
            print(f"| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
            for label, row in rows.items():
                print(f"| {label} | {' | '.join(str(row.get(column, '')) for column in columns)} |")
        else:
            print(json.dumps(rows))


if __name__ == "__main__":
    main()
