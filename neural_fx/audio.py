"""Audio files in, audio files out, and conversion between sample rates (soxr)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neural_fx.errors import AudioError
from neural_fx.layout import float_array
from neural_fx.values import positive_number

if TYPE_CHECKING:
    import soundfile

Audio = NDArray[np.float32]

SUFFIXES = (".wav", ".flac", ".aif", ".aiff", ".aifc", ".ogg", ".oga", ".opus", ".mp3", ".w64", ".caf", ".rf64", ".au")
"""What a folder is searched for; a file that is named is tried whatever its suffix."""


class Reader:
    """An audio file read in blocks, whatever library can read it.

    Attributes:
        sample_rate: Hz.
        channels: number of channels.
        frames: length in samples per channel.
    """

    def __init__(self, path: Path, file: Any, sample_rate: float, channels: int, frames: int) -> None:
        self.path, self._file = path, file
        self.sample_rate, self.channels, self.frames = sample_rate, channels, frames

    def blocks(self, size: int) -> Iterator[Audio]:
        """Blocks of (channels, at most `size`) until the end.

        Raises:
            AudioError: the file ends early, or has NaN or infinite samples.
        """
        done = 0
        while done < self.frames:
            block = self._read(min(size, self.frames - done))
            if block.shape[1] == 0:
                raise AudioError(f"{self.path}: ends after {done} of {self.frames} samples; it is truncated or damaged")
            if not np.isfinite(block).all():
                raise AudioError(f"{self.path}: contains NaN or infinite samples")
            done += block.shape[1]
            yield block

    def _read(self, count: int) -> Audio:
        try:
            if hasattr(self._file, "subtype"):  # soundfile
                return np.ascontiguousarray(self._file.read(count, dtype="float32", always_2d=True).T)
            return np.asarray(self._file.read(count), np.float32)
        except Exception as error:  # both libraries raise several kinds for damaged data
            raise AudioError(f"{self.path}: cannot be decoded: {_one_line(error)}") from None


@contextmanager
def open_audio(path: str | Path) -> Iterator[Reader]:
    """Open an audio file that libsndfile or pedalboard can read.

    Raises:
        AudioError: missing, empty, or not audio.
    """
    import soundfile

    path = Path(path)
    if not path.exists():
        raise AudioError(f"{path}: no such file")
    if path.is_dir():
        raise AudioError(f"{path}: is a folder, not an audio file")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: is an empty file")
    try:
        file: Any = soundfile.SoundFile(str(path))
        reader = Reader(path, file, file.samplerate, file.channels, file.frames)
    except (soundfile.SoundFileError, OSError, RuntimeError) as first:
        reader = _open_with_pedalboard(path, first)
        file = reader._file
    with file:
        if reader.frames <= 0:
            raise AudioError(f"{path}: contains no audio")
        yield reader


def _open_with_pedalboard(path: Path, first: Exception) -> Reader:
    from pedalboard.io import ReadableAudioFile

    try:
        file = ReadableAudioFile(str(path))
    except Exception:
        raise AudioError(f"{path}: is not audio that can be read here: {_one_line(first)}") from None
    return Reader(path, file, file.samplerate, file.num_channels, file.frames)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def read_audio(path: str | Path) -> tuple[Audio, int]:
    """A whole file: (channels, samples) float32 and its sample rate in Hz.

    Raises:
        AudioError: as `open_audio` and `Reader.blocks`.
    """
    with open_audio(path) as reader:
        return np.concatenate(list(reader.blocks(1 << 20)), 1), int(reader.sample_rate)


def resample(audio: Audio, rate_in: float, rate_out: float) -> Audio:
    """Convert audio to another sample rate (soxr, very high quality).

    Args:
        audio: (channels, samples), 32- or 64-bit floats.
        rate_in: its sample rate in Hz.
        rate_out: the wanted one.

    Returns:
        (channels, samples) float32; the same array if the rates are equal.

    Raises:
        TypeError: not a numpy array of floats.
        RuntimeError: not two-dimensional.
        ParameterError: a rate that is not a positive number.
    """
    if float_array(audio).ndim != 2:
        raise RuntimeError(f"expected an array of (channels, samples), got one of shape {audio.shape}")
    rate_in = positive_number(rate_in, "rate_in")
    rate_out = positive_number(rate_out, "rate_out")
    if rate_in == rate_out:
        return audio
    import soxr

    return np.ascontiguousarray(soxr.resample(audio.T, rate_in, rate_out, "VHQ").T, np.float32)


def subtypes(format: str) -> dict[str, str]:
    """The sample formats that a file format such as ``WAV`` can hold, with their descriptions."""
    import soundfile

    return dict(soundfile.available_subtypes(format))


def writer(path: Path, sample_rate: int, channels: int, format: str, subtype: str) -> soundfile.SoundFile:
    """A file open for writing (soundfile).

    Raises:
        OSError: the place cannot be written, or the format cannot hold that rate or number of channels.
    """
    import soundfile

    try:
        return soundfile.SoundFile(str(path), "w", sample_rate, channels, subtype, format=format)
    except (RuntimeError, ValueError) as error:
        raise OSError(" ".join(str(error).split())) from None
