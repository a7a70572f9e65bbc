"""Convert audio to what the networks play, and back: level, pre-emphasis and mu-law.

A mu-law of 256 levels hisses: its noise is about 38 dB below the signal at all frequencies. Three things help.

- Pre-emphasis before, and de-emphasis after: the noise falls by up to 20 dB towards high frequencies.
- The signal is divided by its level before and multiplied after. So the noise follows the level down to silence.
- Since the level is even, the law may be flatter than telephony's (a smaller mu), with smaller steps near the peaks.

`demos/autoregressive/README.md` has the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neural_fx.arrays import Doubles, Numbers


@dataclass(frozen=True)
class Signal:
    """What the samples of a network are.

    Attributes:
        rate: sample rate in Hz.
        hop: samples between two frames of conditions.
        emphasis: coefficient of the pre-emphasis, e[n] = x[n] - emphasis * x[n - 1].
        peak: largest sample of unit level that is not clipped.
        mu: curvature of the mu-law.
        levels: number of classes. Class ``levels / 2`` is exactly zero, and class 0 is not used.
        window: samples of the Hann window in which levels are measured.
    """

    rate: int = 24000
    hop: int = 96
    emphasis: float = 0.9
    peak: float = 8.0
    mu: float = 15.0
    levels: int = 256
    window: int = 768

    @property
    def zero(self) -> int:
        """Class of silence. A stream's first sample follows it."""
        return self.levels // 2

    def encode(self, samples: Numbers) -> Numbers:
        """Return the classes of samples of unit level, any shape, int64."""
        x = np.clip(np.asarray(samples, np.float64) / self.peak, -1, 1)
        law = np.sign(x) * np.log1p(self.mu * np.abs(x)) / np.log1p(self.mu)
        return np.asarray(self.zero + np.rint((self.zero - 1) * law).astype(np.int64))

    def decode(self, classes: Numbers) -> Doubles:
        """Return samples of unit level from their classes, any shape."""
        law = np.maximum((np.asarray(classes) - self.zero) / (self.zero - 1), -1.0)
        return np.asarray(self.peak * np.sign(law) * np.expm1(np.abs(law) * np.log1p(self.mu)) / self.mu)

    def emphasized(self, audio: Numbers) -> Doubles:
        """Return audio with pre-emphasis, (samples,)."""
        x = np.asarray(audio, np.float64)
        return np.asarray(x - self.emphasis * np.concatenate(([0.0], x[:-1])))

    def deemphasized(self, audio: Numbers) -> Doubles:
        """Return audio without its pre-emphasis, (samples,)."""
        # The response falls below 1e-12 within these taps, so a convolution stands for the recursion.
        taps = 1 + int(np.ceil(-27.6 / np.log(max(self.emphasis, 1e-6))))
        return np.convolve(np.asarray(audio, np.float64), self.emphasis ** np.arange(taps))[: len(audio)]

    def measured_levels(self, emphasized: Numbers, floor_db: float = -90.0) -> Doubles:
        """Return the level of every frame in dB, (1 + samples // hop,). Frame k is around sample k * hop.

        Args:
            emphasized: audio with pre-emphasis, (samples,).
            floor_db: lowest level.
        """
        frames = 1 + len(emphasized) // self.hop
        taper = np.hanning(self.window + 2)[1:-1]
        padded = np.pad(np.asarray(emphasized, np.float64) ** 2, (self.window // 2, self.window))
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop][:frames]
        power = windows @ (taper / taper.sum())
        return np.asarray(10 * np.log10(np.maximum(power, 10 ** (floor_db / 10))))

    def gains(self, levels_db: Numbers, samples: int) -> Doubles:
        """Return the gain of every sample: levels as amplitudes, interpolated linearly between frames.

        Args:
            levels_db: (frames,).
            samples: how many. They end at the last frame at the latest.
        """
        amplitudes = 10 ** (np.asarray(levels_db, np.float64) / 20)
        return np.asarray(np.interp(np.arange(samples) / self.hop, np.arange(len(amplitudes)), amplitudes))

    def pack(self, audio: Numbers, levels_db: Numbers) -> Doubles:
        """Return samples of unit level from audio, (samples,).

        Args:
            audio: (samples,) at this rate.
            levels_db: of its frames, from `measured_levels`.
        """
        return np.asarray(self.emphasized(audio) / self.gains(levels_db, len(audio)))

    def unpack(self, samples: Numbers, levels_db: Numbers) -> Doubles:
        """Return audio from samples of unit level, (samples,).

        Args:
            samples: (samples,).
            levels_db: of the frames.
        """
        return self.deemphasized(np.asarray(samples) * self.gains(levels_db, len(samples)))
