"""Find the loudness of a capture: the file's own, or else that of a standard clip, measured once and cached.

The clip is the bundled riff, at the level of the clip that Neural Amp Modeler's trainer uses. So a measured loudness
and a stated one differ by less than a decibel on real amplifiers.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray

from neural_fx import blocks
from neural_fx.audio import read_audio, resample
from neural_fx.cache import cached_number, keep_number
from neural_fx.engines import open_engine
from neural_fx.errors import ModelError
from neural_fx.formats import Capture
from neural_fx.formats.digest import digest
from neural_fx.networks import largest

PROBE_RMS_DB = -14.97
"""RMS of the standard clip in dB, equal to that of Neural Amp Modeler's clip."""
NORMALIZED_LOUDNESS_DB = -18.0
"""Loudness in dB of every capture with the level ``normalized``."""
MOST_GAIN_DB = 40.0
"""The largest gain or attenuation. A stated loudness that needs more is ignored. For a measured one it is the limit."""

_SILENT_DB = -100.0
_LOUDEST_DB = 300.0
_VERSION = "riff-1"
"""Version of the clip and the method. Change it with either of them, so that cached numbers are measured again."""
_measured: dict[str, float] = {}
"""Measurements of this process. They save time if the disk cannot be written, as a board is built once per stream."""


@dataclass(frozen=True)
class Loudness:
    """The loudness of a capture.

    Attributes:
        db: RMS of the output for the standard clip, in dB.
        stated: True if the file states it, False if it was measured.
    """

    db: float
    stated: bool


@lru_cache(maxsize=4)
def probe(sample_rate: float) -> NDArray[np.float32]:
    """Return the standard clip at a sample rate in Hz: (samples,) with an RMS of `PROBE_RMS_DB`. It is read-only."""
    with as_file(files("neural_fx") / "assets" / "riff.flac") as riff:
        audio, rate = read_audio(riff)
    signal = resample(audio, rate, sample_rate)[0]
    signal = np.asarray(signal * (10 ** (PROBE_RMS_DB / 20) / np.sqrt(np.mean(signal**2))), np.float32)
    signal.setflags(write=False)
    return signal


def find_loudness(capture: Capture) -> Loudness:
    """Return the loudness of a capture: the stated one if it is plausible, else the measured one.

    It is measured with the largest size and with the knobs at their defaults. So it does not change while they turn.

    Raises:
        ModelError: the file states no loudness, and the output for the standard clip is silent or not finite.
    """
    stated = capture.metadata.loudness
    if stated is not None and abs(NORMALIZED_LOUDNESS_DB - stated) <= MOST_GAIN_DB:
        return Loudness(stated, True)
    measured = Loudness(_cached_loudness(capture), False)
    if stated is not None:
        warnings.warn(
            f"{_file_prefix(capture)}metadata.loudness: states {stated:g} dB, which is not plausible; "
            f"measured {measured.db:.1f} dB instead",
            stacklevel=2,
        )
    return measured


def normalizing_gain_db(capture: Capture) -> float:
    """Return the gain in dB that brings a capture to `NORMALIZED_LOUDNESS_DB`, at most `MOST_GAIN_DB` up or down.

    Raises:
        ModelError: see `find_loudness`.
    """
    found = find_loudness(capture)
    gain = NORMALIZED_LOUDNESS_DB - found.db
    limited = min(max(gain, -MOST_GAIN_DB), MOST_GAIN_DB)
    if limited != gain:
        warnings.warn(
            f"{_file_prefix(capture)}level normalized would need {gain:+.0f} dB for a loudness of {found.db:.0f} dB; "
            f"it is limited to {limited:+.0f} dB",
            stacklevel=2,
        )
    return limited


def _file_prefix(capture: Capture) -> str:
    return f"{capture.path}: " if capture.path else ""


def measure_loudness(capture: Capture) -> float:
    """Return the RMS in dB of a capture's output for the standard clip, with its knobs at their defaults.

    Raises:
        ModelError: the output is silent, constant or not finite.
    """
    knobs = np.array(list(capture.knobs.values()), np.float32)
    stream = open_engine(largest(capture.network)).stream(1)
    stream.reset(capture.prewarm, knobs)
    clip, total, squares = probe(capture.sample_rate), 0.0, 0.0
    for start in range(0, len(clip), blocks.LOUDNESS_BLOCK):
        part = clip[start : start + blocks.LOUDNESS_BLOCK]
        x = np.concatenate((part[None], np.repeat(knobs[:, None], len(part), 1)))
        y = stream.process(np.ascontiguousarray(x[None]))[0, 0].astype(np.float64)
        with np.errstate(all="ignore"):  # values that are not finite are found below
            total += float(np.sum(y))
            squares += float(np.sum(y * y))
    power = squares / len(clip)
    if not np.isfinite(power):
        raise ModelError("outputs NaN or infinite samples for guitar, so its loudness is unknown; use level raw")
    moving = power - (total / len(clip)) ** 2
    if moving <= max(10 ** (_SILENT_DB / 10), 1e-12 * power):
        raise ModelError("outputs silence for guitar, so its loudness is unknown; use level raw")
    return 10 * float(np.log10(power))


def _cached_loudness(capture: Capture) -> float:
    """Return the cached loudness for this network, rate and knobs, or measure and cache it."""
    about = f"{_VERSION} {capture.sample_rate!r} {capture.prewarm} {dict(capture.knobs)!r} ".encode()
    key = hashlib.sha256(about + digest(largest(capture.network))).hexdigest()[:32]
    known = _measured.get(key)
    if known is None:
        known = cached_number("loudness", key, _SILENT_DB, _LOUDEST_DB)
    if known is None:
        known = measure_loudness(capture)
        keep_number("loudness", key, known)
    _measured[key] = known
    return known
