"""Write a trained timbre to a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from neural_fx import __version__
from neural_fx.files import replacing
from neural_fx.timbre.files import timbre_bytes
from neural_fx.training.timbre.habits import find_habits
from neural_fx.training.timbre.loop import Trainer
from neural_fx.training.timbre.recordings import Solo

_INAUDIBLE = 1e-4
"""Share of the reverb's energy that may be cut off at its end."""


def save_timbre(
    path: Path, trainer: Trainer, solos: Sequence[Solo], name: str, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write the best weights of a training and the habits of its recordings to a timbre file.

    Args:
        path: the file to write.
        trainer: the trainer. Its model gets the best weights.
        solos: all recordings of the training.
        name: name of the timbre.
        metadata: further entries of the metadata.

    Raises:
        OSError: the file cannot be written.
        TrainingError: the recordings have no tones.
    """
    model = trainer.model
    model.load_state_dict(trainer.best)
    weights = {key: value.cpu().numpy() for key, value in trainer.best.items()}
    reverb = model.impulse_response().detach().cpu().numpy()
    left = np.cumsum(np.square(reverb[::-1]))[::-1]
    keep = max(2, int(np.count_nonzero(left > _INAUDIBLE * max(float(left[0]), 1e-12))))
    about = {
        "name": name,
        "date": date.today().isoformat(),
        "trainer": f"neural-fx {__version__}",
        "seconds": round(sum(len(s.audio) for s in solos) / 48000, 1),
        "steps": trainer.step,
        "validation_spectral_loss": round(trainer.best_loss, 4),
        **(metadata or {}),
    }
    data = timbre_bytes(model.shape, weights, reverb[:keep], find_habits(solos), about)
    with replacing(path) as part:
        part.write_bytes(data)
