"""Audio files in, audio files out, and conversion between sample rates (soxr)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neural_fx.errors import AudioError, reason
from neural_fx.headers import audio_size, ogg_lacks_end
from neural_fx.inputs import file_content_problem, file_problem
from neural_fx.layout import float_array
from neural_fx.patched import PatchedFile
from neural_fx.values import positive_number

if TYPE_CHECKING:
    import soundfile

Audio = NDArray[np.float32]

SUFFIXES = (".wav", ".flac", ".aif", ".aiff", ".aifc", ".ogg", ".oga", ".opus", ".mp3", ".w64", ".caf", ".rf64", ".au")
"""What a folder is searched for; a file that is named is tried whatever its suffix."""


UNSTATED = "the size in its header was never filled in; read to the end of the file"
NO_END = "its last page is not marked as the end; it may be cut off"
_UNKNOWN_FRAMES = 2**62
"""libsndfile's length of a FLAC file that does not state one is above this. pedalboard finds the true length."""


class Reader:
    """An audio file read in blocks, whatever library can read it.

    Attributes:
        sample_rate: Hz.
        channels: number of channels.
        frames: length in samples per channel.
        remarks: what a user should know about the file, although it can be read.
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

    A file whose header does not state the size of its audio is read to its end, and `Reader.remarks` says so.

    Raises:
        AudioError: missing, empty, a pipe or device, cut off, or not audio.
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
    """Return the header bytes to replace in a file whose size was never filled in; none for other files.

    Raises:
        AudioError: the file was cut off, or cannot be read.
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
    """Open a file with libsndfile or else with pedalboard; `opened` closes what was opened."""
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
        # A file object instead of a name: pedalboard takes only names that are UTF-8.
        file = opened.enter_context(ReadableAudioFile(opened.enter_context(path.open("rb"))))
        return Reader(path, file, file.samplerate, file.num_channels, file.frames, (UNSTATED,) if first is None else ())
    except Exception:
        problem = file_content_problem(path) or f"is not audio that can be read here: {_decoder_problem(first)}"
        raise AudioError(f"{path}: {problem}") from None


def native_name(path: Path) -> str | bytes:
    """Return a path as libsndfile takes it. Names that are not UTF-8 have to be bytes."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def _decoder_problem(error: Exception | None) -> str:
    """Return what libsndfile says of a file, without the file's name."""
    text = " ".join(str(getattr(error, "error_string", None) or error).split()) or type(error).__name__
    return "it is damaged or cut off" if "possibly a pipe" in text else text


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def read_audio(path: str | Path) -> tuple[Audio, int]:
    """Read a whole file: (channels, samples) float32 and its sample rate in Hz.

    Warns of what `Reader.remarks` has.

    Raises:
        AudioError: as `open_audio` and `Reader.blocks`.
    """
    with open_audio(path) as reader:
        for remark in reader.remarks:
            warnings.warn(f"{path}: {remark}", stacklevel=2)
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
        return soundfile.SoundFile(native_name(path), "w", sample_rate, channels, subtype, format=format)
    except (RuntimeError, ValueError) as error:
        raise OSError(" ".join(str(error).split())) from None
