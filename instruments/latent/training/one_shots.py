"""Train latent instruments on a folder of one-shots: the door of the family for `neural-fx train-instrument`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from instruments.latent.files import LatentFile, read_network, save_network
from instruments.latent.network import LatentNetwork, Sizes
from instruments.latent.training.dataset import LONG_TICKS, dataset_of
from instruments.latent.training.model import LatentModel
from instruments.latent.training.own_notes import (
    OwnNote,
    analysed,
    instrument_names,
    own_instruments,
    preset_name,
    related_notes,
    replayed,
    usual_level_db,
    with_a_long_one,
)
from instruments.latent.training.own_report import Findings, findings_of, measure, write_report
from instruments.latent.training.own_trainer import LatentTrainer, Progress, Settings
from instruments.training.contract import FamilyTrainer, OneShot, Show, TrainingSettings
from neural_fx import __version__
from neural_fx.arrays import Doubles
from neural_fx.errors import TrainingError

WEIGHTS = Path(__file__).parents[1] / "weights" / "general-midi.safetensors"
"""The network that comes with the package."""
ENOUGH_TUNED, ENOUGH_FROM_SCRATCH = 4000, 12000
"""Steps that a training usually needs."""
TUNING_RATE, SCRATCH_RATE = 1e-3, 2e-3
REPLAYED = 24
"""Bundled presets whose notes are learned beside a person's own."""
LEAST_SECONDS = 0.1


class OwnLatent(LatentTrainer):
    """A training on a person's one-shots.

    Args:
        notes: analysed one-shots.
        settings: of the training.
        bundled: network to begin with; None for random weights.
    """

    def __init__(self, notes: Sequence[OwnNote], settings: Settings, bundled: LatentFile | None) -> None:
        self.notes = notes
        self.bundled = bundled
        others = [] if bundled is None else replayed(bundled, REPLAYED, settings.seed)
        own = own_instruments(notes, usual_level_db(others), settings.seed)
        self.held_out_pitches = {instrument.name: instrument.held_out_pitches for instrument in own}
        torch.manual_seed(settings.seed)
        start = LatentModel(Sizes()) if bundled is None else LatentModel.of(bundled.network)
        super().__init__(dataset_of([*own, *others], seed=settings.seed), settings, start)

    @property
    def enough(self) -> int:
        """Steps that such a training usually needs."""
        return ENOUGH_FROM_SCRATCH if self.bundled is None else ENOUGH_TUNED

    def progress_text(self, progress: Progress) -> str:
        """Return a few words about the progress."""
        if math.isnan(progress.validation):
            return f"step {progress.step}, loss {progress.loss:.3f}, no validation yet"
        return f"step {progress.step}, {progress.validation:.2f} dB, best {progress.best:.2f} dB"

    def result(self) -> str:
        """Return the best distance so far in words."""
        if not math.isfinite(self.best_error):
            return "distance not measured yet"
        return f"levels {self.best_error:.2f} dB from {'held-out' if len(self.held_out) else 'its own'} notes"

    def write(self, path: Path, name: str) -> None:
        """Write the network with a preset for each instrument, whole or not at all."""
        model = self.best_model()
        save_network(path, LatentNetwork(model.weights()), self.presets(model), self._card(name))

    def report(self, path: Path) -> Findings:
        """Write STEM.html and STEM.png beside the instrument's file."""
        held = [n for n in self.notes if n.frames.pitch in self.held_out_pitches[preset_name(n.shot)]]
        network = None if self.bundled is None else self.bundled.network
        measured = measure(held or self.notes, read_network(path), self._timbres_before(network), network)
        findings = findings_of(measured, self.notes, bool(held), self.course, self.enough)
        write_report(path, measured, findings, self.course)
        return findings

    def _timbres_before(self, network: LatentNetwork | None) -> dict[str, Doubles]:
        """Return the mean timbres of the training notes, as the bundled network encodes them."""
        if network is None:
            return {}
        found = {}
        for name in instrument_names(self.notes):
            held = self.held_out_pitches[name]
            own = [n.frames for n in self.notes if preset_name(n.shot) == name and n.frames.pitch not in held]
            long = [frames for frames in with_a_long_one(own) if frames.release > LONG_TICKS]
            found[name] = np.asarray(np.mean([network.encode(frames) for frames in long], axis=0))
        return found

    def _card(self, name: str) -> dict[str, Any]:
        counts = Counter(preset_name(note.shot) for note in self.notes)
        return {
            "name": name,
            "data": ", ".join(f"{count} notes of {instrument}" for instrument, count in counts.items()),
            "trainer": f"neural-fx {__version__}",
            "started_from": "random weights" if self.bundled is None else "the bundled network",
            "steps": self.step,
            "minutes": round(self.course.minutes, 2),
            "held_out": len(self.held_out),
            "distance_db": round(self.best_error, 3) if math.isfinite(self.best_error) else None,
        }

    def _describe(self) -> dict[str, object]:
        return {**super()._describe(), "from_scratch": self.bundled is None}


def start(shots: Sequence[OneShot], settings: TrainingSettings, show: Show) -> OwnLatent:
    """Prepare a training.

    Args:
        shots: without duplicates, each with a pitch.
        settings: of the training.
        show: shows the progress.

    Raises:
        TrainingError: there is no network to begin with.
    """
    bundled = None
    if not settings.from_scratch:
        if not WEIGHTS.exists():
            raise TrainingError(f"{WEIGHTS}: no network to begin with; add --from-scratch to begin with random weights")
        bundled = read_network(WEIGHTS)
    rate = SCRATCH_RATE if settings.from_scratch else TUNING_RATE
    own = Settings(minutes=settings.minutes, rate=rate, seed=settings.seed, threads=settings.threads)
    training = OwnLatent(analysed(shots, show), own, bundled)
    if bundled is not None:
        training.validate()  # the result is never farther from held-out notes than the bundled network
    return training


TRAINER = FamilyTrainer(start=start, pitched=True, least_seconds=LEAST_SECONDS, related=related_notes)
"""How the family is trained."""
