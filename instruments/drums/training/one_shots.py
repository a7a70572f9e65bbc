"""Train a kit of drums on a folder of one-shots: the door of the family for `neural-fx train-instrument`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instruments.drums.classes import CLASSES
from instruments.drums.instrument import DATA
from instruments.drums.kit_files import read_kit, save_kit
from instruments.drums.network import DrumNetwork
from instruments.drums.training.features import Features, joined, measured, synthetic_hits
from instruments.drums.training.own_kit import OWN, kit_numbers, own_hits, related_hits, replayed
from instruments.drums.training.report import Findings, write_report
from instruments.drums.training.trainer import DrumTrainer, Progress, Settings
from instruments.drums.training.weights import exported, latent_numbers, read_model
from instruments.drums.training.words import DRUM_WORDS
from instruments.training.contract import FamilyTrainer, OneShot, Show, TrainingSettings
from neural_fx import __version__

ENOUGH_TUNED, ENOUGH_FROM_SCRATCH = 1500, 8000
"""Steps that a training usually needs."""
TUNING_RATE = 3e-4
REPLAYED = 24
SYNTHESISED = 60
"""Hits of each class that are learned beside a person's own."""
WEIGHTS = DATA / "drums.safetensors"


class OwnDrums(DrumTrainer):
    """A training on a person's one-shots.

    Args:
        features: of the one-shots and of made hits.
        settings: of the training.
        from_scratch: whether to begin with random weights.
    """

    def __init__(self, features: Features, settings: Settings, from_scratch: bool) -> None:
        self.bundled = DrumNetwork.read(WEIGHTS)
        self.from_scratch = from_scratch
        super().__init__(features, settings, None if from_scratch else read_model(WEIGHTS))

    @property
    def enough(self) -> int:
        """Steps that such a training usually needs."""
        return ENOUGH_FROM_SCRATCH if self.from_scratch else ENOUGH_TUNED

    @property
    def own(self) -> Features:
        """The person's own hits."""
        return self.features.where(self.features.source == OWN)

    def progress_text(self, progress: Progress) -> str:
        """Return a few words about the progress."""
        if math.isnan(progress.validation):
            return f"step {progress.step}, loss {progress.loss:.2f}, no validation yet"
        return f"step {progress.step}, {progress.validation:.2f} dB, best {progress.best:.2f} dB"

    def result(self) -> str:
        """Return the best distance so far in words."""
        if not math.isfinite(self.best_error):
            return "distance not measured yet"
        return f"{self.best_error:.2f} dB from {'held-out' if len(self.held_out.drum) else 'its own'} sounds"

    def write(self, path: Path, name: str) -> None:
        """Write the kit, whole or not at all."""
        model = self.best_model()
        numbers, spread = latent_numbers(model, self.hits)
        kits = {OWN: kit_numbers(model, self.bundled, self.hits, numbers)}
        save_kit(path, exported(model, numbers, spread, self.hits, kits), OWN, self._card(name))

    def report(self, path: Path) -> Findings:
        """Write STEM.html and STEM.png beside the kit's file."""
        return write_report(path, read_kit(path).network, self.bundled, self.features, self.course, self.enough)

    def _card(self, name: str) -> dict[str, Any]:
        counts = Counter(CLASSES[drum] for drum in self.own.drum)
        return {
            "name": name,
            "data": ", ".join(f"{count} {drum}" for drum, count in counts.items()),
            "trainer": f"neural-fx {__version__}",
            "started_from": "random weights" if self.from_scratch else "the bundled network",
            "steps": self.step,
            "minutes": round(self.course.minutes, 2),
            "held_out": len(self.held_out.drum),
            "distance_db": round(self.best_error, 3) if math.isfinite(self.best_error) else None,
        }

    def _describe(self) -> dict[str, object]:
        return {**super()._describe(), "from_scratch": self.from_scratch}


def start(shots: Sequence[OneShot], settings: TrainingSettings, show: Show) -> OwnDrums:
    """Prepare a training.

    Args:
        shots: without duplicates, each with a class.
        settings: of the training.
        show: shows the progress.
    """
    hits = own_hits(shots, settings.seed)
    if settings.from_scratch:
        features = measured([*hits, *synthetic_hits(SYNTHESISED)], show)
    else:
        network = DrumNetwork.read(WEIGHTS)
        features = joined([measured(hits, show), replayed(network, REPLAYED, settings.seed)])
    own = Settings(
        minutes=settings.minutes,
        rate=Settings.rate if settings.from_scratch else TUNING_RATE,
        seed=settings.seed,
        validate_every=250,
        threads=settings.threads,
    )
    training = OwnDrums(features, own, settings.from_scratch)
    if not settings.from_scratch:
        training.validate()  # the result is never farther from held-out sounds than the bundled network
    return training


TRAINER = FamilyTrainer(start=start, classes=DRUM_WORDS, related=related_hits)
"""How the family is trained."""
