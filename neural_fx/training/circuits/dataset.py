"""Make dry/wet data sets of a circuit at many knob positions.

Segments are simulated in parallel and kept, so that an interrupted run can be repeated. Each segment has its own random
generator, seeded with (seed, index). So every run makes the same segments in any order, and a short set is the
beginning of a long one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_fx.arrays import Audio
from neural_fx.audio import read_audio, resample
from neural_fx.errors import TrainingError
from neural_fx.files import replacing
from neural_fx.parameters import decibels
from neural_fx.training.channels import choose_channel
from neural_fx.training.checkpoints import fingerprint
from neural_fx.training.circuits.netlists import Circuit
from neural_fx.training.circuits.spice import simulate

SAMPLE_RATE = 48000
SECONDS = 4.0
"""Length of a segment in seconds, without the run-up."""
RUN_UP = 0.3
"""Seconds simulated before a segment to charge the coupling capacitors. Models only use them as context."""
SYNTHETIC = 0.15
"""Share of segments that are sweeps, bursts or noise instead of guitar."""
ABOUT = "about.json"
"""File in a data set's folder that describes how it was made."""
SILENCE = 3e-3
"""RMS below which an excerpt of a recording counts as silent."""


@dataclass(frozen=True)
class Segment:
    """Dry and wet audio at one knob position.

    Attributes:
        dry, wet: (samples,) at 48 kHz. The first `RUN_UP` seconds are context and not to be learned.
        turns: rotations 0 to 1 of the circuit's knobs, in the circuit's order.
    """

    dry: Audio
    wet: Audio
    turns: tuple[float, ...]


class Material:
    """Input signals for a circuit: excerpts of recordings, and some test signals.

    Args:
        files: clean guitar recordings at any sample rate.
        synthetic: share of test signals, 0 to 1.
        seconds: length of a segment without the run-up.
        gain_db: range of random gains for the recordings.

    Raises:
        TrainingError: there are no files, or one is shorter than a segment.
        AudioError: a file cannot be read.
    """

    def __init__(
        self,
        files: Sequence[Path],
        synthetic: float = SYNTHETIC,
        seconds: float = SECONDS,
        gain_db: tuple[float, float] = (-18.0, 6.0),
    ) -> None:
        self.length = round((seconds + RUN_UP) * SAMPLE_RATE)
        self.synthetic, self.gain_db = synthetic, gain_db
        self.signals: list[Audio] = []
        for path in files:
            audio, rate = read_audio(path)
            signal = resample(choose_channel(audio, path)[None], rate, SAMPLE_RATE)[0]
            if len(signal) < self.length:
                raise TrainingError(
                    f"{path}: lasts {len(signal) / SAMPLE_RATE:.1f} s; at least {seconds + RUN_UP:g} s needed"
                )
            self.signals.append(signal)
        if not self.signals:
            raise TrainingError("no recordings to play into the circuit")

    @property
    def about(self) -> dict[str, Any]:
        """Description of the input signals, to compare with that of a data set."""
        return {
            "recordings": fingerprint(self.signals),
            "length": self.length,
            "synthetic": self.synthetic,
            "gain_db": list(self.gain_db),
        }

    def draw(self, rng: np.random.Generator) -> Audio:
        """Return a random signal of `length` samples that is not silent and whose peak is at most 1."""
        if rng.random() < self.synthetic:
            signal = np.asarray(self._test_signal(rng) * decibels(rng.uniform(-40, 0)), np.float32)
        else:
            signal = self._recorded(rng) * np.float32(decibels(rng.uniform(*self.gain_db)))
        return np.asarray(signal / max(1.0, float(np.abs(signal).max())), np.float32)

    def _recorded(self, rng: np.random.Generator) -> Audio:
        weights = np.array([len(s) for s in self.signals], float)
        stretch = self.signals[0][: self.length]
        for _ in range(20):
            source = self.signals[rng.choice(len(self.signals), p=weights / weights.sum())]
            start = rng.integers(len(source) - self.length + 1)
            stretch = source[start : start + self.length]
            if np.sqrt(np.mean(np.square(stretch, dtype=np.float64))) > SILENCE:
                break
        return stretch

    def _test_signal(self, rng: np.random.Generator) -> NDArray[Any]:
        t = np.arange(self.length) / SAMPLE_RATE
        kind = rng.integers(3)
        if kind == 0:  # exponential sweep
            low, high, end = 20.0, rng.uniform(5000, 20000), t[-1]
            return np.asarray(np.sin(2 * np.pi * low * end / np.log(high / low) * ((high / low) ** (t / end) - 1)))
        if kind == 1:  # decaying bursts of sines
            signal, at = np.zeros(self.length), 0
            while at < self.length:
                step = int(rng.uniform(0.05, 0.6) * SAMPLE_RATE)
                n = np.arange(min(step, self.length - at)) / SAMPLE_RATE
                tone = np.sin(2 * np.pi * 10 ** rng.uniform(1.8, 3.7) * n) * np.exp(-n / rng.uniform(0.02, 0.5))
                signal[at : at + len(n)] = tone * 10 ** rng.uniform(-1.5, 0)
                at += step
            return signal
        noise = np.cumsum(rng.normal(size=self.length)) if rng.random() < 0.5 else rng.normal(size=self.length)
        noise = noise - np.convolve(noise, np.ones(960) / 960, "same")
        return np.asarray(noise / np.abs(noise).max() * np.abs(np.sin(np.pi * t * rng.uniform(0.2, 4))))


class Tones:
    """Input signals that teach a network not to alias: a series of high sines and pairs of sines.

    Guitars have little above 5 kHz. A network that was only trained on guitars answers a loud high sine with harmonics
    that alias. The circuit is simulated at 8 x 48 kHz, so that its own harmonics are filtered out.

    Args:
        seconds: length of a segment without the run-up.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self.length = round((seconds + RUN_UP) * SAMPLE_RATE)

    @property
    def about(self) -> dict[str, Any]:
        """Description of the input signals, to compare with that of a data set."""
        return {"recordings": "tones", "length": self.length}

    def draw(self, rng: np.random.Generator) -> Audio:
        """Return a random series of tones, `length` samples with a peak of at most 1.

        The tones last 30 to 150 ms with short fades, at 0.7 to 18 kHz and -30 to 0 dB.
        """
        signal, at = np.zeros(self.length), 0
        while at < self.length:
            n = np.arange(min(int(rng.uniform(0.03, 0.15) * SAMPLE_RATE), self.length - at))
            tone = np.zeros(len(n))
            for _ in range(1 + (rng.random() < 0.3)):
                frequency = 700 * (18000 / 700) ** rng.random()
                tone += np.sin(2 * np.pi * (frequency / SAMPLE_RATE * n + rng.random()))
            ends = np.minimum(1, np.minimum(n + 1, len(n) - n) / 96)
            level = decibels(rng.uniform(-30, 0) if rng.random() < 0.7 else 0.0)
            signal[at : at + len(n)] = tone / max(1.0, np.abs(tone).max()) * (0.5 - 0.5 * np.cos(np.pi * ends)) * level
            at += len(n)
        return np.asarray(signal, np.float32)


def draw_turns(rng: np.random.Generator, circuit: Circuit) -> dict[str, float]:
    """Draw a random knob position: uniform, but more often at both ends and in the middle.

    Output controls are fully up, because the network does not learn them; see `Knob.output`.

    Args:
        rng: random generator.
        circuit: the circuit.

    Returns:
        Rotation 0 to 1 of every knob, by name.
    """
    turns = {}
    for knob in circuit.knobs:
        special = rng.random()
        free = rng.random()
        picked = 0.0 if special < 0.1 else 1.0 if special < 0.2 else 0.5 if special < 0.25 else free
        turns[knob.name] = 1.0 if knob.output else round(picked, 4)
    return turns


def generate(
    circuit: Circuit,
    folder: Path,
    material: Material | Tones,
    count: int,
    seed: int = 0,
    jobs: int = 1,
    turns: Callable[[np.random.Generator, Circuit], dict[str, float]] = draw_turns,
) -> Iterator[int]:
    """Simulate the segments that a folder does not contain yet.

    Segments are written whole or not at all, so a run can be interrupted at any time and repeated. The file `ABOUT` in
    the folder describes how it was made.

    Args:
        circuit: the circuit.
        folder: folder of the data set. It is created if needed.
        material: input signals.
        count: number of segments that the folder should contain.
        seed: random seed for input signals and knob positions.
        jobs: simulations to run at the same time.
        turns: draws the knob position of a segment.

    Yields:
        The number of segments in the folder, at the start and after every simulation.

    Raises:
        TrainingError: the folder contains segments of another circuit, other recordings or another seed.
        SpiceError: ngspice failed.
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_folder(folder, {"circuit": circuit.name, "seed": seed, "turns": turns.__name__, **material.about})
    missing = [i for i in range(count) if not _path(folder, i).exists()]
    yield count - len(missing)

    def one(index: int) -> None:
        rng = np.random.default_rng([seed, index])
        dry, at = material.draw(rng), turns(rng, circuit)
        wet = simulate(circuit, dry, SAMPLE_RATE, at)
        with replacing(_path(folder, index)) as part, part.open("wb") as file:
            np.savez(file, dry=dry, wet=wet, turns=np.array([at[knob.name] for knob in circuit.knobs], np.float32))

    pool = ThreadPoolExecutor(max(1, jobs))
    try:
        for done, future in enumerate(as_completed([pool.submit(one, i) for i in missing])):
            future.result()
            yield count - len(missing) + done + 1
    finally:
        pool.shutdown(cancel_futures=True)


def _check_folder(folder: Path, about: dict[str, Any]) -> None:
    """Raise an error if a folder's segments were made in another way; otherwise write its description.

    Accepts a folder of an older version, which has no description.
    """
    path = folder / ABOUT
    try:
        saved = json.loads(path.read_bytes())
    except FileNotFoundError:
        saved = about
    except ValueError:
        saved = None
    if not isinstance(saved, dict):
        raise TrainingError(
            f"{path}: is damaged; remove it if the segments in the folder are of this circuit and these recordings"
        )
    differing = [key for key, value in about.items() if saved.get(key) != value]
    if differing and any(folder.glob("[0-9]*.npz")):
        raise TrainingError(
            f"{folder}: holds segments that differ in {', '.join(differing)} from this command; "
            "use another folder, or repeat the command that made it"
        )
    with replacing(path) as part:
        part.write_text(json.dumps(about, indent=2), encoding="utf-8")


def load(folder: Path) -> list[Segment]:
    """Read all segments of a data set, in order.

    Args:
        folder: folder of the data set.

    Raises:
        TrainingError: the folder contains no segments, or a file is damaged.
    """
    segments = []
    for path in sorted(folder.glob("[0-9]*.npz")):
        try:
            with np.load(path, allow_pickle=False) as data:
                turns = tuple(float(turn) for turn in data["turns"])
                segments.append(Segment(data["dry"], data["wet"], turns))
        except (OSError, ValueError, KeyError) as error:
            raise TrainingError(f"{path}: is not a segment of a circuit's data set: {error}") from None
    if not segments:
        raise TrainingError(f"{folder}: holds no segments; make them with neural-fx circuit")
    return segments


def _path(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.npz"
