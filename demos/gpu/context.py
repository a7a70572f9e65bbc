"""Provide what all parts of the measurement need: the device, the clock, the networks and the results file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neural_fx.arrays import Array
from neural_fx.audio import read_audio
from neural_fx.formats import read
from neural_fx.networks import Network, largest
from neural_fx.pedals import TubeScreamer
from neural_fx.training.architectures import untrained

RATE = 48000
"""Hz of all audio here."""
FRAMES = 256
"""Samples of a live block."""
PERIOD = FRAMES / RATE
"""Seconds of a live block: 5.3 ms."""
GATHERED = Path(__file__).parent / "gathered"
"""Where `demos.gpu.gather` puts wheels, models and audio."""

Emit = Callable[..., None]


@dataclass
class Context:
    """One part of the measurement while it runs.

    Args:
        device: ``cuda``, or ``cpu`` to rehearse.
        short: measure a little of everything, to check that it works.
        seconds: time limit of the part. `left` counts from the creation of the context.
        results: the JSON lines file that `emit` appends to.
        part: name of the part, written to all its records.
        gathered: folder with models and audio; it may be missing.
        began: start of the part in monotonic seconds.
    """

    device: str
    short: bool
    seconds: float
    results: Path
    part: str
    gathered: Path = GATHERED
    began: float = field(default_factory=time.monotonic)

    @property
    def cuda(self) -> bool:
        """Return whether the device is a CUDA GPU."""
        return torch.device(self.device).type == "cuda"

    @property
    def left(self) -> float:
        """Return how many seconds the part has left."""
        return self.seconds - (time.monotonic() - self.began)

    def emit(self, **values: Any) -> None:
        """Append one record to the results, at once, so that a later failure can't lose it."""
        append(self.results, {"part": self.part, **values})

    def synchronize(self) -> None:
        """Wait until the device has finished all its work."""
        if self.cuda:
            torch.cuda.synchronize()

    def skip(self, reserve: float, **values: Any) -> bool:
        """Return whether less than `reserve` seconds are left, and record the skipped measurement if so.

        Args:
            reserve: seconds that the measurement needs.
            values: entries of the record.
        """
        if self.left >= reserve:
            return False
        self.emit(skipped="out of time", **values)
        return True


def append(results: Path, record: dict[str, Any]) -> None:
    """Append a record to a JSON lines file."""
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


@dataclass(frozen=True)
class Subject:
    """A network to measure.

    Attributes:
        name: for the tables.
        network: its description.
        prewarm: samples of silence before its first block.
        controls: (knobs,) positions of its knobs.
    """

    name: str
    network: Network
    prewarm: int
    controls: Array


def subject(name: str, network: Network, prewarm: int | None = None) -> Subject:
    """Make a subject with its knobs in the middle.

    Args:
        name: name for the tables.
        network: its description.
        prewarm: samples of silence before the first block; None for the receptive field.
    """
    knobs = network.in_channels - 1
    samples = network.receptive_field if prewarm is None else prewarm
    return Subject(name, network, samples, np.full(knobs, 0.5, np.float32))


def captured(name: str, path: Path, otherwise: str) -> Subject:
    """Read a capture file, or take an untrained network of the same shape if the file is missing.

    Args:
        name: name for the tables.
        path: the capture file.
        otherwise: architecture of the untrained network.
    """
    if not path.is_file():
        return subject(name, untrained(otherwise))
    capture = read(path)
    return subject(name, largest(capture.network), capture.prewarm)


def subjects(gathered: Path) -> dict[str, Subject]:
    """Return the four networks that speed is measured with, by name."""
    folder = gathered / "models" / "nam"
    pedal = TubeScreamer.file()
    found = [
        captured("A1 standard", folder / "wavenet_a1_standard.nam", "a1-standard"),
        captured("A2 full", folder / "A2.nam", "a2-full"),
        subject("knobbed pedal", pedal.network, pedal.prewarm),
        subject("LSTM 1x16", untrained("lstm"), RATE // 2),
    ]
    return {item.name: item for item in found}


def guitar(gathered: Path, samples: int) -> NDArray[np.float32]:
    """Return `samples` of the gathered recording, repeated as needed, or noise if there is none."""
    files = sorted((gathered / "audio").glob("*.wav"))
    if not files:
        return (0.1 * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)
    audio, _ = read_audio(files[0])
    return np.resize(audio[0], samples).astype(np.float32)


def inputs(item: Subject, audio: NDArray[np.float32], streams: int) -> NDArray[np.float32]:
    """Return network inputs: the audio at another offset for each stream, with constant knobs.

    Args:
        item: the network.
        audio: (samples,).
        streams: number of streams.

    Returns:
        (streams, in_channels, samples).
    """
    x = np.empty((streams, item.network.in_channels, len(audio)), np.float32)
    for i in range(streams):
        x[i, 0] = np.roll(audio, 997 * i)
    x[:, 1:] = item.controls[:, None]
    return x


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Return p50, p99, p99.9 and the longest of some times, in milliseconds."""
    times = 1e3 * np.array(seconds)
    names = {"p50_ms": 50, "p99_ms": 99, "p999_ms": 99.9}
    found = {name: round(float(np.percentile(times, level)), 3) for name, level in names.items()}
    return {**found, "max_ms": round(float(times.max()), 3)}
