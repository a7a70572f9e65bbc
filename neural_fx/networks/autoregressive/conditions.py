"""Make the conditions of a performance: what every frame says, and the running phase of the pitch.

The phase is a condition because pitch is what a network of this size does worst on its own. A short receptive field
tells 20 cents apart only by counting several periods, and errors add up. With the phase, a network only has to draw the
waveform at the right place, as in models of source and filter (NSF, arXiv 1810.11946). It costs eight inputs.

In training, the phase is that of the recording's fundamental. So the waveform is the same function of it everywhere.
"""

from __future__ import annotations

import numpy as np

from neural_fx.arrays import Array, Doubles, Numbers
from neural_fx.networks.autoregressive.signal import Signal

FRAME_NAMES = ("pitch", "level", "onset", "released")
"""The numbers of a frame, see `frame_conditions`."""
MIDDLE_HZ = 261.63
LEVEL_MIDDLE_DB = -30.0
LEVEL_SCALE_DB = 20.0
ONSET_SECONDS = 0.06
RELEASE_SECONDS = 0.1


def frame_conditions(hz: Numbers, levels_db: Numbers, since_onset: Numbers, since_release: Numbers) -> Array:
    """Return frames as the networks read them.

    Args:
        hz: pitch, (frames,).
        levels_db: (frames,), as `Signal.measured_levels` measures them.
        since_onset: seconds, (frames,); negative before the note.
        since_release: seconds, (frames,); negative while the note is held.

    Returns:
        (frames, 4): octaves from middle C; the level in units of 20 dB around -30 dB; 1 at the onset, falling to 0 with
        a time constant of 60 ms, and 0 before it; 0 until the release, rising to 1 with a time constant of 100 ms.
    """
    onset = np.exp(-np.maximum(since_onset, 0) / ONSET_SECONDS) * (np.asarray(since_onset) >= 0)
    released = 1 - np.exp(-np.maximum(since_release, 0) / RELEASE_SECONDS)
    pitch = np.log2(np.asarray(hz) / MIDDLE_HZ)
    level = (np.asarray(levels_db) - LEVEL_MIDDLE_DB) / LEVEL_SCALE_DB
    return np.stack((pitch, level, onset, released), axis=1).astype(np.float32)


def running_cycles(hz: Numbers, signal: Signal, samples: int, start: float = 0.0) -> Doubles:
    """Return the phase of the pitch at every sample in cycles, (samples,).

    The first sample has the phase `start`. From sample n to the next, the phase grows by the frequency at n, in Hz and
    interpolated linearly between frames, times the duration of a sample.

    Args:
        hz: pitch, (frames,).
        signal: has the sample rate, and the samples between frames.
        samples: how many.
        start: phase of the first sample.
    """
    steps = np.interp(np.arange(samples) / signal.hop, np.arange(len(hz)), np.asarray(hz, np.float64)) / signal.rate
    return start + np.concatenate(([0.0], np.cumsum(steps[:-1])))


def phase_conditions(cycles: Numbers, harmonics: tuple[int, ...]) -> Array:
    """Return sines and cosines of a phase.

    Args:
        cycles: (samples,).
        harmonics: multiples of the phase.

    Returns:
        (samples, 2 * harmonics): sine and cosine of the first, of the second, and so on.
    """
    turns = np.asarray(cycles, np.float64)[:, None] * np.array(harmonics)
    angles = 2 * np.pi * (turns - np.floor(turns))
    return np.stack((np.sin(angles), np.cos(angles)), axis=2).reshape(len(turns), -1).astype(np.float32)
