"""`Convolution`: pedalboard's, for impulse responses in every audio format that is read here.

`pedalboard.Convolution` passes the dry signal, without an error, if it cannot decode its file. In 0.9.26 that is FLAC,
MP3, CAF, W64, AU, mu-law WAV, and files that are not audio. It takes arrays as well. The same samples give the same
output, bit for bit, from an array and from a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import pedalboard

from neural_fx.audio import Audio, open_audio
from neural_fx.errors import AudioError

MAX_SECONDS = 30.0
"""The longest impulse response. The longest halls and cisterns ring for about 20 s; a stem by mistake is longer."""
MAX_CHANNELS = 2
_SILENT = 1e-6
"""Peak of a response that counts as silent: -120 dBFS, below every converter's noise."""


class Convolution(pedalboard.Convolution):  # type: ignore[misc] # its stubs are not read
    """A convolution with an impulse response, such as a cabinet or a room.

    The response is scaled as `pedalboard.Convolution` scales it. A mono response is used for every channel. A stereo
    response gives mono streams its left channel.

    Args:
        impulse_response: an audio file of any format, or an array of (samples,) or (channels, samples).
        mix: 0 (dry) to 1 (wet).
        sample_rate: Hz, of an array. A file states its own.

    Attributes:
        path: the absolute path of the file; None for an array.
        audio: (channels, samples) float32, before scaling.
        audio_rate: Hz, of `audio`.

    Raises:
        AudioError: the file cannot be read; or the response is empty, silent, not finite, longer than `MAX_SECONDS`, or
            has more than two channels.
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
        """The file's absolute path, as `pedalboard.Convolution` has it; None for an array."""
        return None if self.path is None else str(self.path)

    def __reduce__(self) -> tuple[Callable[..., Convolution], tuple[object, ...]]:
        return _rebuilt, (self.audio, float(self.mix), self.audio_rate, self.path)


def _rebuilt(audio: Audio, mix: float, audio_rate: float, path: Path | None) -> Convolution:
    copy = Convolution(audio, mix, audio_rate)
    copy.path = path
    return copy


def read_impulse_response(path: str | Path) -> tuple[Audio, float]:
    """Read an impulse response: (channels, samples) float32 and its sample rate in Hz.

    Raises:
        AudioError: as `Convolution`.
    """
    with open_audio(path) as reader:
        # The length and the channels are checked before anything is read: the header may be of a whole concert.
        _check_size(reader.channels, reader.frames / reader.sample_rate, str(path))
        audio = np.concatenate(list(reader.blocks(1 << 20)), 1)
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
    """Check that an array can be convolved with.

    Args:
        audio: (channels, samples).
        sample_rate: Hz.
        name: of the response, for the error.

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
"""Where the files of convolutions were when they came into a board. pedalboard's objects take no attributes."""


def check_native(plugin: pedalboard.Plugin) -> None:
    """Check the convolutions in a native plugin, which may be a chain or a mix of others.

    Raises:
        AudioError: pedalboard could not decode the file, so the dry signal would pass; or the response is one that
            `Convolution` refuses.
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
            # The rate is not known here. The slowest in use bounds the length.
            check_response(np.atleast_2d(plugin.impulse_response), 192000.0, "the impulse response")
        return
    path = Path(name).absolute()
    try:
        read_impulse_response(path)
    except AudioError:
        # A file that is gone by now may have been decoded while it was there.
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
    """Return whether an impulse comes out as it went in. A response that was read is scaled, so it cannot do that."""
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
