"""Write a trained network to a file: a standard `.nam`, or a pedal file if it has knobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from neural_fx.engines import open_engine
from neural_fx.files import replacing
from neural_fx.loudness import probe
from neural_fx.networks import Network, kind_of
from neural_fx.training.learners import MEMORY
from neural_fx.training.loop import Trainer


def loudness_and_gain(network: Network, sample_rate: float) -> tuple[float, float]:
    """Return the loudness and gain of a network, for the metadata that players read.

    The loudness is the RMS of the output for the standard clip of `neural_fx.loudness`. The gain is how much less than
    proportionally the output grows with the input, measured at 11 levels. Neural Amp Modeler's trainer uses another
    clip, so its values are close to these but not the same. Knobs are in the middle.

    Args:
        network: the network.
        sample_rate: its sample rate in Hz.

    Returns:
        Loudness in dB, and gain from 0 (linear) to 1 (saturated).
    """
    hold = kind_of(network).hold
    if hold is not None:
        network = hold(network, [0.5] * (network.in_channels - 1))
    middle = np.full(network.in_channels - 1, 0.5, np.float32)
    levels = np.linspace(0, 1, 11)
    signals = (levels[:, None] * probe(sample_rate)).astype(np.float32)[:, None]
    knobs = np.broadcast_to(middle[:, None], (len(levels), len(middle), signals.shape[2]))
    streams = open_engine(network).stream(len(levels))
    streams.reset(max(network.receptive_field, MEMORY), middle)
    out = streams.process(np.concatenate((signals, knobs), 1))[:, 0]
    powers = np.sqrt(np.mean(np.square(out, dtype=np.float64), axis=1)) + 1e-12
    mean = float(np.mean(powers) / powers[-1])
    return 20 * float(np.log10(powers[-1])), float(np.clip(2 * mean - 1, 0, 1))


def metadata(trainer: Trainer, name: str | None, recordings: Sequence[tuple[Path, Path]]) -> dict[str, Any]:
    """Return the `metadata` object of a capture file.

    Args:
        trainer: the trainer, after training.
        name: name of the device.
        recordings: dry and wet files, in the trainer's order.
    """
    now = datetime.now(UTC)
    loudness, gain = loudness_and_gain(trainer.best, trainer.recordings[0].sample_rate)
    latencies = [pair.latency for pair in trainer.recordings]
    return {
        "date": {key: getattr(now, key) for key in ("year", "month", "day", "hour", "minute", "second")},
        "name": name,
        "loudness": round(loudness, 4),
        "gain": round(gain, 4),
        "training": {
            "trainer": "neural-fx",
            "validation_esr": trainer.best_esr,
            "steps": trainer.step,
            "files": [[dry.name, wet.name] for dry, wet in recordings],
            "data": {"latency": {"manual": latencies[0] if len(latencies) == 1 else latencies}},
        },
    }


def capture_bytes(
    network: Network, sample_rate: float, about: Mapping[str, Any], knobs: Mapping[str, float] | None = None
) -> bytes:
    """Return the bytes of a `.nam` file, or of a pedal file for a network with knobs.

    Args:
        network: the network.
        sample_rate: its sample rate in Hz.
        about: the `metadata` object.
        knobs: names and default rotations (0 to 1) of the knobs.

    Raises:
        ValueError: neither format can hold the network.
    """
    kind = kind_of(network)
    if kind.export is None:
        raise ValueError(f"a {kind.name} network cannot be written to a file")
    return kind.export.write(network, sample_rate, about, knobs or {})


def save_capture(
    path: Path,
    trainer: Trainer,
    name: str | None,
    recordings: Sequence[tuple[Path, Path]],
    knobs: Mapping[str, float] | None = None,
) -> None:
    """Write the best network of a training so far to a file.

    Args:
        path: the file to write.
        trainer: the trainer.
        name: name of the device; None for the file's name.
        recordings: dry and wet files, in the trainer's order.
        knobs: names and default rotations (0 to 1) of the knobs.

    Raises:
        OSError: the file cannot be written.
        ValueError: the format cannot hold the network.
    """
    about = metadata(trainer, name or path.stem, recordings)
    data = capture_bytes(trainer.best, trainer.recordings[0].sample_rate, about, knobs)
    with replacing(path) as part:
        part.write_bytes(data)
