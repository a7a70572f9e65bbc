"""Read and write audio files, and convert between sample rates (soxr)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.errors import AudioError, reason
from neural_fx.headers import audio_size, ogg_lacks_end
from neural_fx.inputs import file_content_problem, file_problem
from neural_fx.layout import float_array
from neural_fx.patched import PatchedFile
from neural_fx.values import positive_number

if TYPE_CHECKING:
    import soundfile


SUFFIXES = (".wav", ".flac", ".aif", ".aiff", ".aifc", ".ogg", ".oga", ".opus", ".mp3", ".w64", ".caf", ".rf64", ".au")
"""Suffixes of the files that are found in a folder. A file that is named itself may have any suffix."""


UNSTATED = "the size in its header was never filled in; read to the end of the file"
NO_END = "its last page is not marked as the end; it may be cut off"
_UNKNOWN_FRAMES = 2**62
"""libsndfile reports a length above this for a FLAC file that states none. pedalboard finds the true length."""


class Reader:
    """An audio file that is read in blocks, with libsndfile or pedalboard.

    Attributes:
        path: of the file.
        sample_rate: Hz.
        channels: number of channels.
        frames: length in samples per channel.
        remarks: sentences about defects of the file, which can be read in spite of them.
    """

    def __init__(
        self, path: Path, file: Any, sample_rate: float, channels: int, frames: int, remarks: tuple[str, ...] = ()
    ) -> None:
        self.path = path
        self._file = file
        self.sample_rate = sample_rate
        self.channels = channels
        self.frames = frames
        self.remarks = remarks

    def blocks(self, size: int) -> Iterator[Audio]:
        """Yield blocks of (channels, at most `size`) float32 until the end.

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
        except Exception as error:  # both libraries raise many kinds of errors for damaged data
            raise AudioError(f"{self.path}: cannot be decoded: {_one_line(error)}") from None


@contextmanager
def open_audio(path: str | Path) -> Iterator[Reader]:
    """Open an audio file that libsndfile or pedalboard can read.

    If the header does not state the size of the audio, the file is read to its end, with a remark in `Reader.remarks`.

    Args:
        path: the file.

    Raises:
        AudioError: the file is missing, empty, cut off or not audio, or is a pipe or device.
    """
    path = Path(path)
    problem = file_problem(path, "an audio file")
    if problem is not None:
        raise AudioError(f"{path}: {problem}")
    with ExitStack() as opened:
        reader = _open(path, _patches(path), opened)
        if reader.frames <= 0:
            raise AudioError(f"{path}: contains no audio")
        yield reader


def _patches(path: Path) -> dict[int, bytes]:
    """Return the header bytes to replace in a file whose size was never filled in. Other files need none.

    Raises:
        AudioError: the file is cut off, or cannot be read.
    """
    try:
        size = audio_size(path)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {reason(error)}") from None
    if size is None:
        return {}
    if size.cut_off:
        raise AudioError(
            f"{path}: is cut off: its header states {size.stated} bytes of audio, the file has {size.present}; "
            "copy or record it again"
        )
    if size.stated is None and not size.patches:
        raise AudioError(f"{path}: does not state how long it is, and is over 4 GB; write it again as RF64 or W64")
    return size.patches


def _open(path: Path, patches: dict[int, bytes], opened: ExitStack) -> Reader:
    """Open a file with libsndfile, or else with pedalboard. `opened` closes it later."""
    import soundfile

    first: Exception | None = None
    try:
        source = opened.enter_context(PatchedFile(path, patches)) if patches else native_name(path)
        file: Any = opened.enter_context(soundfile.SoundFile(source))
        if file.frames < _UNKNOWN_FRAMES:
            remarks = (UNSTATED,) if patches else (NO_END,) if ogg_lacks_end(path) else ()
            return Reader(path, file, file.samplerate, file.channels, file.frames, remarks)
    except (soundfile.SoundFileError, OSError, RuntimeError, ValueError, TypeError) as error:
        first = error
    from pedalboard.io import ReadableAudioFile

    try:
        # A file object instead of a name, because pedalboard only accepts names that are UTF-8.
        file = opened.enter_context(ReadableAudioFile(opened.enter_context(path.open("rb"))))
        return Reader(path, file, file.samplerate, file.num_channels, file.frames, (UNSTATED,) if first is None else ())
    except Exception:
        problem = file_content_problem(path) or f"is not audio that can be read here: {_decoder_problem(first)}"
        raise AudioError(f"{path}: {problem}") from None


def native_name(path: Path) -> str | bytes:
    """Return a path in the form that libsndfile accepts. Names that are not UTF-8 must be bytes."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def _decoder_problem(error: Exception | None) -> str:
    """Return libsndfile's error message without the name of the file."""
    text = " ".join(str(getattr(error, "error_string", None) or error).split()) or type(error).__name__
    return "it is damaged or cut off" if "possibly a pipe" in text else text


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def read_audio(path: str | Path) -> tuple[Audio, int]:
    """Read a whole file. Each of its `Reader.remarks` becomes a warning.

    Args:
        path: the file.

    Returns:
        (channels, samples) float32, and the sample rate in Hz.

    Raises:
        AudioError: as for `open_audio` and `Reader.blocks`.
    """
    with open_audio(path) as reader:
        for remark in reader.remarks:
            warnings.warn(f"{path}: {remark}", stacklevel=2)
        return np.concatenate(list(reader.blocks(blocks.READ_BLOCK)), 1), int(reader.sample_rate)


def resample(audio: Audio, rate_in: float, rate_out: float) -> Audio:
    """Convert audio to another sample rate (soxr, very high quality).

    Args:
        audio: (channels, samples), 32- or 64-bit floats.
        rate_in: its sample rate in Hz.
        rate_out: the new sample rate in Hz.

    Returns:
        (channels, samples) float32. If the rates are equal, the same array.

    Raises:
        TypeError: the audio is not a numpy array of floats.
        RuntimeError: it is not two-dimensional.
        ParameterError: a rate is not a positive number.
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
    """Return the sample formats that a file format such as ``WAV`` can hold, with their descriptions."""
    import soundfile

    return dict(soundfile.available_subtypes(format))


def writer(path: Path, sample_rate: int, channels: int, format: str, subtype: str) -> soundfile.SoundFile:
    """Open a file for writing with soundfile.

    Args:
        path: the file.
        sample_rate: Hz.
        channels: number of channels.
        format: libsndfile's name of the file format, such as ``WAV``.
        subtype: libsndfile's name of the sample format, such as ``PCM_24``.

    Raises:
        OSError: the file cannot be written, or the format cannot hold that rate or number of channels.
    """
    import soundfile

    try:
        return soundfile.SoundFile(native_name(path), "w", sample_rate, channels, subtype, format=format)
    except (RuntimeError, ValueError) as error:
        raise OSError(" ".join(str(error).split())) from None
