"""Read a dry and a wet recording of the same performance, check and align them, and find training windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neural_fx.arrays import Audio
from neural_fx.audio import read_audio, resample
from neural_fx.errors import TrainingError
from neural_fx.training.alignment import Alignment, align
from neural_fx.training.channels import choose_channel
from neural_fx.training.checks import LIKE, level_remarks, refuse, remarks
from neural_fx.training.latency import UnclearLatencyError, find_latency

Say = Callable[[str], None]

SHORTEST = 5.0
"""Shortest usable signal in seconds, of all pairs together."""
SHORTEST_PART = 1.0
"""Shortest usable signal in seconds of one of several pairs. A clip of a single note lasts a few seconds."""
SAFETY = 1
"""Samples by which the wet recording is left late when its latency was estimated.

A network cannot look ahead. A target that is one sample early loses treble. A target that is one sample late only
adds a sample of latency. Neural Amp Modeler's trainer leaves the same margin.
"""
MOST_EARLY = 1.0
"""Largest latency in seconds that can be given, early or late."""


@dataclass(frozen=True)
class Mask:
    """Samples to leave out of the loss: the first `skip` seconds of every `period` seconds.

    Attributes:
        period: seconds.
        skip: seconds, at least 0 and less than `period`.
    """

    period: float
    skip: float

    @classmethod
    def parse(cls, text: str) -> Mask:
        """Make a mask from text.

        Args:
            text: ``SKIP/PERIOD`` in seconds, such as ``0.3/0.5``.

        Raises:
            TrainingError: the text does not have this form.
        """
        try:
            skip, period = (float(part) for part in text.split("/"))
        except ValueError:
            raise TrainingError(f"mask {text!r}: expected SKIP/PERIOD in seconds, such as 0.3/0.5") from None
        if not 0 <= skip < period:
            raise TrainingError(f"mask {text!r}: SKIP must be at least 0 and less than PERIOD")
        return cls(period, skip)


@dataclass(frozen=True)
class Pair:
    """Aligned recordings at one sample rate.

    Attributes:
        dry, wet: audio, (samples,) each.
        usable: (samples,) booleans; False where the target must not be learned.
        sample_rate: Hz.
        latency: samples by which the wet recording was late, measured or given; negative if it was early.
        knobs: rotations 0 to 1 of the device's knobs during the recording, in the order of the network's knobs.
    """

    dry: Audio
    wet: Audio
    usable: NDArray[np.bool_]
    sample_rate: int
    latency: int = 0
    knobs: tuple[float, ...] = ()

    def split(self, validation: float = 0.1) -> tuple[Pair, Pair]:
        """Split the recording into a first part to train on and a last part to validate with.

        Args:
            validation: share of the last part, 0 to 1.
        """
        cut = int(len(self.dry) * (1 - validation))
        return self._part(slice(0, cut)), self._part(slice(cut, None))

    def _part(self, where: slice) -> Pair:
        return replace(self, dry=self.dry[where], wet=self.wet[where], usable=self.usable[where])

    def starts(self, length: int, context: int) -> NDArray[np.int64]:
        """Return where a window can begin, so that all its targets are usable.

        Args:
            length: target samples of the window.
            context: input samples that must exist before the window.

        Returns:
            Ranges of starts, (ranges, 2): the first start and the one after the last.
        """
        edges = np.flatnonzero(np.diff(np.concatenate(([False], self.usable, [False])))).reshape(-1, 2)
        stretches = np.stack((np.maximum(edges[:, 0], context), edges[:, 1] - length + 1), 1)
        return stretches[stretches[:, 1] > stretches[:, 0]]


def _silent(sentence: str) -> None:
    """Ignore a sentence."""


def load_pair(
    dry: str | Path,
    wet: str | Path,
    sample_rate: int = 48000,
    mask: Mask | None = None,
    latency: int | None = None,
    knobs: tuple[float, ...] = (),
    say: Say = _silent,
    shortest: float = SHORTEST,
) -> Pair:
    """Read a pair, check it and align it for training.

    A late wet recording loses its beginning; for an early one, the dry recording does. A given latency is applied
    exactly. An estimated one leaves the wet recording `SAFETY` samples late, unless it is 0.

    Args:
        dry, wet: audio files of the same performance. One channel of each is used.
        sample_rate: sample rate of the model in Hz. Both files are converted to it.
        mask: samples to leave out of the loss.
        latency: samples at `sample_rate` by which the wet file is late, negative if it is early; None to estimate it.
        knobs: rotations 0 to 1 of the device's knobs.
        say: called with a sentence for every finding and problem.
        shortest: shortest usable signal in seconds.

    Raises:
        TrainingError: the lengths or sample rates differ, the performances differ, a recording is silent, the latency
            is unclear, or there is too little signal. The message says what to do.
        AudioError: a file cannot be read.
    """
    signals, rate = _read(dry, wet, say)
    if latency is None:
        signals, found = _aligned(signals, rate, (dry, wet), say)
        latency = round(found * sample_rate / rate)
        moved = latency - SAFETY if latency else 0
    else:
        _check_latency(latency, sample_rate)
        moved = latency
    x, y = (resample(signal[None], rate, sample_rate)[0] for signal in signals)
    if latency < 0:
        say(f"{wet} is {-latency} samples early; {dry} was moved to meet it")
    x = x[max(-moved, 0) :]
    y = y[max(moved, 0) :]
    n = min(len(x), len(y))
    times = np.arange(n) / sample_rate
    usable = np.ones(n, bool) if mask is None else (times + 1e-9) % mask.period >= mask.skip
    check_length(float(usable.sum()) / sample_rate, shortest, f"{dry} and {wet}: ")
    for sentence in remarks(x[:n], y[:n], sample_rate):
        say(sentence)
    return Pair(x[:n], y[:n], usable, sample_rate, latency, knobs)


def load_pairs(
    files: Sequence[tuple[Path, Path]],
    sample_rate: int = 48000,
    mask: Mask | None = None,
    latency: int | None = None,
    knobs: Sequence[tuple[float, ...]] = (),
    say: Say = _silent,
) -> list[Pair]:
    """Read several pairs of one device. Their lengths are added, so that each may be short.

    Args:
        files: dry and wet file of each pair.
        sample_rate, mask, latency, say: as for `load_pair`.
        knobs: knob positions of each pair, which may be equal; empty for a device without knobs.

    Raises:
        TrainingError: as for `load_pair`, or all pairs together have too little signal.
        AudioError: a file cannot be read.
    """
    shortest = SHORTEST if len(files) == 1 else SHORTEST_PART
    positions = list(knobs) or [()] * len(files)
    pairs = []
    for (dry, wet), turns in zip(files, positions, strict=True):
        try:
            pair = load_pair(dry, wet, sample_rate, mask, latency, turns, say, shortest)
        except UnclearLatencyError:
            if len(files) == 1:
                raise
            together = _common_latency(files, sample_rate)
            say(f"{wet.name}: its latency is unclear by itself; all pairs together show {together} samples")
            pair = load_pair(dry, wet, sample_rate, mask, together, turns, say, shortest)
        seconds = pair.usable.sum() / sample_rate
        say(f"{wet.name}: {seconds:.0f} s usable at {sample_rate} Hz; {_lateness(pair.latency)}")
        pairs.append(pair)
    total = sum(float(pair.usable.sum()) for pair in pairs) / sample_rate
    check_length(total, SHORTEST, "all pairs together: ")
    return pairs


def _common_latency(files: Sequence[tuple[Path, Path]], sample_rate: int) -> int:
    """Return the latency that all pairs together show, in samples at `sample_rate`.

    Raises:
        UnclearLatencyError: no lag stands out, or the files differ in their sample rates.
    """
    loaded = [_read(dry, wet, _silent) for dry, wet in files]
    rates = {rate for _, rate in loaded}
    rate = rates.pop()
    found = find_latency([(signals[0], signals[1]) for signals, _ in loaded], rate)
    if rates or not found.clear:
        raise UnclearLatencyError(
            f"the latency of {files[0][1]} and the other pairs is unclear; give the samples by which the wet ones are "
            "late with --latency N, or pairs with more and louder playing"
        )
    return round(found.samples * sample_rate / rate)


def check_length(seconds: float, shortest: float, where: str = "") -> None:
    """Raise an error if there is too little usable signal.

    Args:
        seconds: length of the usable signal.
        shortest: shortest length allowed, in seconds.
        where: beginning of the message, which names the files.

    Raises:
        TrainingError: the signal is too short.
    """
    if seconds < shortest:
        raise TrainingError(
            f"{where}only {seconds:.1f} s of usable signal; at least {shortest:g} s needed. Record longer or add pairs"
        )


def _lateness(latency: int) -> str:
    if latency < 0:
        return f"{-latency} samples early"
    return f"{latency} samples late"


def _check_latency(latency: int, rate: int) -> None:
    if abs(latency) > MOST_EARLY * rate:
        raise TrainingError(
            f"--latency {latency}: more than {MOST_EARLY:g} s; expected the samples by which the wet file is late at "
            f"{rate} Hz. Cut the files so that they start together"
        )


def _read(dry: str | Path, wet: str | Path, say: Say) -> tuple[list[Audio], int]:
    """Return one channel of each file and their sample rate, after checks that must come before resampling."""
    signals = []
    rates = []
    for name, path in (("dry", dry), ("wet", wet)):
        audio, rate = read_audio(path)
        signal = choose_channel(audio, path, say)
        refuse(path, signal, rate)
        for sentence in level_remarks(name, signal):
            say(sentence)
        signals.append(signal)
        rates.append(rate)
    if rates[0] != rates[1]:
        raise TrainingError(f"{dry} is at {rates[0]} Hz and {wet} at {rates[1]} Hz; record both at one rate")
    seconds = [len(signal) / rates[0] for signal in signals]
    if abs(seconds[0] - seconds[1]) > 1:
        raise TrainingError(f"{dry} lasts {seconds[0]:.1f} s and {wet} {seconds[1]:.1f} s; cut both to one length")
    return signals, rates[0]


def _aligned(
    signals: list[Audio], rate: int, paths: tuple[str | Path, str | Path], say: Say
) -> tuple[list[Audio], int]:
    """Return both recordings, with the clock drift of the wet one corrected, and its latency at their rate."""
    x, y = signals
    found = align(x, y, rate)
    _check_same_performance(found, paths)
    if found.drift_ppm:
        say(
            f"the two recordings ran on different clocks ({found.drift_ppm:+.1f} parts per million); the wet one was "
            "resampled to fit. Record both on one interface if you can"
        )
        y = resample(y[None], rate * (1 + 1e-6 * found.drift_ppm), rate)[0]
        found = align(x, y, rate)
    if not found.clear:
        raise UnclearLatencyError(
            f"the latency of {paths[1]} is unclear: no place where it follows {paths[0]} stands out. Check that both "
            "are of one performance, or give the samples by which the wet one is late with --latency N"
        )
    if not found.exact:
        say(
            f"the latency of {paths[1]} may be wrong by a few samples: two estimates of it disagree. If you know it, "
            "give it with --latency N"
        )
    if found.inverted:
        say("the device inverts polarity, and so will the capture")
    return [x, y], found.latency


def _check_same_performance(found: Alignment, paths: tuple[str | Path, str | Path]) -> None:
    """Raise an error if two recordings are unrelated."""
    if found.correlation < LIKE and found.steady < 0.2 and not found.clear:
        raise UnclearLatencyError(
            f"{paths[0]} and {paths[1]} have nothing in common (correlation {found.correlation:.3f}); check "
            "that they are of the same performance. If they are, give the samples by which the wet one is late with "
            "--latency N"
        )
