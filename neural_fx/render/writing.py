"""Write audio to files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.audio import writer
from neural_fx.errors import AudioError, reason
from neural_fx.files import replacing
from neural_fx.layout import channels_first
from neural_fx.render.output import UNBOUNDED, Output, encoding
from neural_fx.values import whole_number

if TYPE_CHECKING:
    import soundfile


def write_audio(path: str | Path, audio: Audio, sample_rate: int, subtype: str | None = None) -> None:
    """Write audio to a file, whole or not at all.

    Args:
        path: the file; its suffix says the format.
        audio: (samples,), (channels, samples) or (samples, channels), 32- or 64-bit floats, as processors take it.
        sample_rate: Hz, a whole number.
        subtype: sample format, such as ``PCM_24``; None for the format's own.

    Raises:
        AudioError: an unknown format or subtype, NaN or infinite samples, or it cannot be written.
        TypeError: not a numpy array of floats.
        RuntimeError: not one- or two-dimensional, or square.
        ParameterError: a sample rate that is not a whole number above 0.
    """
    path = Path(path)
    audio = channels_first(audio)
    sample_rate = whole_number(sample_rate, "sample_rate")
    if not np.isfinite(audio).all():
        raise AudioError(f"{path}: not written: the audio contains NaN or infinite samples")
    format, subtype = encoding(path, Output(subtype=subtype), *audio.shape)
    if subtype not in UNBOUNDED:
        audio = np.clip(audio, -1, 1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part, writer(part, sample_rate, len(audio), format, subtype) as file:
            write_block(file, audio, path)
    except OSError as error:
        raise AudioError(f"{path}: cannot be written: {reason(error)}") from None


def write_block(file: soundfile.SoundFile, block: Audio, target: Path) -> None:
    """Write a block to an open file.

    Args:
        file: the open file.
        block: (channels, samples).
        target: name for the error.

    Raises:
        AudioError: it cannot be written.
    """
    try:
        for start in range(0, block.shape[1], blocks.WRITE_FRAMES):
            file.write(block[:, start : start + blocks.WRITE_FRAMES].T)
    except (OSError, RuntimeError, AssertionError) as error:  # what a full disk makes soundfile raise
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or "the disk may be full"
        raise AudioError(f"{target}: cannot be written: {reason}") from None
