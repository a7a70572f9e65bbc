"""Measure the loudness of audio in LUFS by ITU-R BS.1770-5: K-weighting, and gated blocks of 400 ms."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_OFFSET = -0.691
_BLOCK_SECONDS = 0.4
_STEP_SECONDS = 0.1
_ABSOLUTE_GATE = -70.0  # LUFS
_RELATIVE_GATE = -10.0  # LU
_RINGING_SECONDS = 0.5  # after which the filters' responses are below -120 dB


def integrated_loudness(audio: NDArray[np.floating], sample_rate: float) -> float:
    """Return the integrated loudness in LUFS.

    Args:
        audio: (channels, samples), mono or stereo, 0.4 s or longer.
        sample_rate: Hz.

    Returns:
        Negative infinity if every block is below the absolute gate of -70 LUFS.

    Raises:
        ValueError: the audio is shorter than one block, or has more than two channels.
    """
    powers = _block_powers(audio, sample_rate)
    powers = powers[_lufs(powers) > _ABSOLUTE_GATE]
    if not len(powers):
        return -math.inf
    powers = powers[_lufs(powers) > float(_lufs(powers.mean())) + _RELATIVE_GATE]
    return float(_lufs(powers.mean()))


def momentary_loudness(audio: NDArray[np.floating], sample_rate: float) -> NDArray[np.float64]:
    """Return the loudness in LUFS of each block of 400 ms, one block every 100 ms.

    Args:
        audio: (channels, samples), mono or stereo, 0.4 s or longer.
        sample_rate: Hz.

    Raises:
        ValueError: the audio is shorter than one block, or has more than two channels.
    """
    return _lufs(_block_powers(audio, sample_rate))


def _lufs(power: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(_OFFSET + 10 * np.log10(np.maximum(power, 1e-30)))


def _block_powers(audio: NDArray[np.floating], sample_rate: float) -> NDArray[np.float64]:
    """Return the mean square of each K-weighted block, summed over the channels: (blocks,)."""
    channels, count = audio.shape
    block = round(_BLOCK_SECONDS * sample_rate)
    step = round(_STEP_SECONDS * sample_rate)
    if channels > 2 or count < block:
        raise ValueError(f"expected one or two channels of at least {block} samples, got {audio.shape}")
    size = 2 ** math.ceil(math.log2(count + _RINGING_SECONDS * sample_rate))
    response = _k_weighting(np.arange(size // 2 + 1) * (sample_rate / size))
    total = np.zeros(count + 1)
    for channel in audio:
        weighted = np.fft.irfft(np.fft.rfft(channel, size) * response, size)[:count]
        total[1:] += np.cumsum(weighted**2)
    starts = np.arange(0, count - block + 1, step)
    return np.asarray((total[starts + block] - total[starts]) / block)


def _k_weighting(frequency_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return the response of the shelf and the high-pass filter.

    BS.1770 gives the coefficients at 48 kHz. The same responses are used at all sample rates.
    """
    z = np.exp(-2j * np.pi * np.minimum(frequency_hz, 24000) / 48000)
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z**2) / (
        1 - 1.69065929318241 * z + 0.73248077421585 * z**2
    )
    high_pass = (1 - 2 * z + z**2) / (1 - 1.99004745483398 * z + 0.99007225036621 * z**2)
    return np.asarray(shelf * high_pass)
