"""Convolve with impulse responses in every audio format that this package reads: `Convolution`.

If `pedalboard.Convolution` cannot decode its file, it passes the dry signal without an error. In 0.9.26 this happens
with FLAC, MP3, CAF, W64, AU, mu-law WAV, and files that are not audio. It also accepts arrays. The output is then
equal, bit for bit, to that with a file of the same samples.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import pedalboard

from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.audio import open_audio
from neural_fx.errors import AudioError

MAX_SECONDS = 30.0
"""The longest impulse response. Halls and cisterns ring for about 20 s at most. A longer file is probably a stem."""
MAX_CHANNELS = 2
_SILENT = 1e-6
"""Peak below which a response counts as silent: -120 dBFS, below the noise of every converter."""


class Convolution(pedalboard.Convolution):  # type: ignore[misc] # its stubs are not read
    """A convolution with an impulse response, such as a cabinet or a room.

    The response is scaled as `pedalboard.Convolution` scales it. A mono response is used for every channel. A stereo
    response gives mono streams its left channel.

    Args:
        impulse_response: an audio file of any format, or an array of (samples,) or (channels, samples).
        mix: 0 (dry) to 1 (wet).
        sample_rate: of an array, in Hz. A file states its own.

    Attributes:
        path: absolute path of the file; None for an array.
        audio: (channels, samples) float32, before scaling.
        audio_rate: sample rate of `audio` in Hz.

    Raises:
        AudioError: the file cannot be read. Or the response is empty, silent, not finite, longer than `MAX_SECONDS`, or
            has more than two channels.
        TypeError: an array without a sample rate.
    """

    def __init__(
        self, impulse_response: str | Path | Audio, mix: float = 1.0, sample_rate: float | None = None
    ) -> None:
        self.path: Path | None = None
        if isinstance(impulse_response, (str, Path)):
            self.path = Path(os.path.expanduser(impulse_response)).absolute()
            self.audio, self.audio_rate = read_impulse_response(impulse_response)
        else:
            if sample_rate is None:
                raise TypeError("an impulse response in an array needs its sample_rate")
            self.audio = np.array(impulse_response, np.float32, ndmin=2)
            self.audio_rate = float(sample_rate)
            check_response(self.audio, self.audio_rate, "the impulse response")
        super().__init__(self.audio, mix, self.audio_rate)

    @property
    def impulse_response_filename(self) -> str | None:
        """Absolute path of the file, as in `pedalboard.Convolution`; None for an array."""
        return None if self.path is None else str(self.path)

    def __reduce__(self) -> tuple[Callable[..., Convolution], tuple[object, ...]]:
        return _rebuilt, (self.audio, float(self.mix), self.audio_rate, self.path)


def _rebuilt(audio: Audio, mix: float, audio_rate: float, path: Path | None) -> Convolution:
    copy = Convolution(audio, mix, audio_rate)
    copy.path = path
    return copy


def read_impulse_response(path: str | Path) -> tuple[Audio, float]:
    """Read an impulse response.

    Args:
        path: the file.

    Returns:
        (channels, samples) float32, and the sample rate in Hz.

    Raises:
        AudioError: as for `Convolution`.
    """
    with open_audio(path) as reader:
        # Length and channels are checked before anything is read, because the file may be hours long.
        _check_size(reader.channels, reader.frames / reader.sample_rate, str(path))
        audio = np.concatenate(list(reader.blocks(blocks.READ_BLOCK)), 1)
        rate = float(reader.sample_rate)
    check_response(audio, rate, str(path))
    return audio, rate


def _check_size(channels: int, seconds: float, name: str) -> None:
    if seconds > MAX_SECONDS:
        raise AudioError(
            f"{name}: lasts {seconds:.1f} s; an impulse response is at most {MAX_SECONDS:g} s long, cut it shorter"
        )
    if channels > MAX_CHANNELS:
        raise AudioError(f"{name}: has {channels} channels; an impulse response has one or two")


def check_response(audio: Audio, sample_rate: float, name: str) -> None:
    """Check that an array can be an impulse response.

    Args:
        audio: (channels, samples).
        sample_rate: Hz.
        name: of the response, for error messages.

    Raises:
        AudioError: it is empty, silent, not finite, too long, or has too many channels.
    """
    if audio.ndim != 2:
        raise AudioError(f"{name}: expected an array of (samples,) or (channels, samples), found {audio.ndim} axes")
    if audio.size == 0:
        raise AudioError(f"{name}: contains no audio")
    if not np.isfinite(sample_rate) or sample_rate <= 0:
        raise AudioError(f"{name}: expected a sample rate above 0 Hz, found {sample_rate:g}")
    _check_size(len(audio), audio.shape[1] / sample_rate, name)
    if not np.isfinite(audio).all():
        raise AudioError(f"{name}: contains NaN or infinite samples")
    if np.abs(audio).max() < _SILENT:
        raise AudioError(f"{name}: is silent; an impulse response needs a signal")


# -- convolutions that pedalboard made ----------------------------------------------------------------------------

_absolute: WeakKeyDictionary[pedalboard.Convolution, Path] = WeakKeyDictionary()
"""Absolute paths of convolutions' files, from when they were added to a board.

They are kept here because pedalboard's objects accept no attributes.
"""


def check_native(plugin: pedalboard.Plugin) -> None:
    """Check the convolutions in a native plugin.

    Args:
        plugin: any native plugin, or a chain or mix of them.

    Raises:
        AudioError: pedalboard could not decode the file, so it would pass the dry signal. Or `Convolution` refuses the
            response.
    """
    if isinstance(plugin, Convolution):
        return
    if isinstance(plugin, pedalboard.Convolution):
        _check_convolution(plugin)
    elif isinstance(plugin, pedalboard.PluginContainer) and isinstance(plugin, Iterable):
        for inner in plugin:
            check_native(inner)


def _check_convolution(plugin: pedalboard.Convolution) -> None:
    if plugin in _absolute:
        return  # checked before, and it may be playing now
    name = plugin.impulse_response_filename
    if name is None:
        if plugin.impulse_response is not None:
            # The sample rate is not known here. The highest one in use allows the most samples.
            check_response(np.atleast_2d(plugin.impulse_response), 192000.0, "the impulse response")
        return
    path = Path(name).absolute()
    try:
        read_impulse_response(path)
    except AudioError:
        # A file that has been deleted may have been decoded before.
        if os.path.exists(path) or _passes_dry(plugin):
            raise
    else:
        if _passes_dry(plugin):
            raise AudioError(
                f"{path}: pedalboard.Convolution cannot decode this file and would pass the dry signal; "
                "use neural_fx.Convolution instead"
            )
    _absolute.setdefault(plugin, path)


def _passes_dry(plugin: pedalboard.Convolution) -> bool:
    """Return whether an impulse passes unchanged. Responses are scaled, so none of them can do that."""
    impulse = np.zeros((1, 512), np.float32)
    impulse[0, 0] = 1
    mix = plugin.mix
    try:
        plugin.mix = 1.0
        return bool(np.array_equal(plugin.process(impulse, 48000.0), impulse))
    finally:
        plugin.mix = mix
        plugin.reset()


def response_path(plugin: pedalboard.Convolution) -> Path | None:
    """Return the absolute path of a convolution's file, or None if it was made from an array."""
    if isinstance(plugin, Convolution):
        return plugin.path
    name = plugin.impulse_response_filename
    return _absolute.get(plugin) or (None if name is None else Path(name).absolute())
