"""Choose how outputs are written: sample rate, format of the file, and sample format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neural_fx.audio import subtypes
from neural_fx.errors import AudioError
from neural_fx.parameters import Parameter
from neural_fx.render.plans import file_format
from neural_fx.values import positive_number

UNBOUNDED = ("FLOAT", "DOUBLE")
"""Sample formats that hold more than full scale. The others are given no more: mu-law crashes at 46, MP3 at 1e10."""

_DEFAULT_SUBTYPE = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}
_BYTES = {"PCM_U8": 1, "PCM_S8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
_TAIL = Parameter("tail_seconds", 0, 3600, 0, "s")


@dataclass(frozen=True)
class Output:
    """How to write an output.

    Attributes:
        sample_rate: in Hz; None for the input's.
        subtype: sample format by its libsndfile name; None for the format's best, PCM_24 where there is a choice.
        tail_seconds: length of silence to process after the input, 0 to 3600.
        overwrite: whether to replace an existing file.

    Raises:
        ParameterError: a sample rate that is not a positive number, or a tail that is not 0 to 3600 seconds.
    """

    sample_rate: float | None = None
    subtype: str | None = None
    tail_seconds: float = 0.0
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.sample_rate is not None:
            positive_number(self.sample_rate, "sample_rate")
        _TAIL.check(self.tail_seconds)


DEFAULT_OUTPUT = Output()


def encoding(path: Path, output: Output, channels: int, samples: int) -> tuple[str, str]:
    """Return the format and subtype of an output. A WAV that would pass 4 GB becomes RF64.

    Args:
        path: the output file.
        output: how to write it.
        channels: of the output.
        samples: of each channel, about.

    Raises:
        AudioError: the format is unknown, or does not have the subtype.
    """
    format = file_format(path)
    known = subtypes(format)
    subtype = (output.subtype or _DEFAULT_SUBTYPE.get(format, "PCM_24")).upper()
    if subtype not in known:
        raise AudioError(f"{path}: {format} has no subtype {subtype}; it has: {', '.join(known)}")
    if format == "WAV" and channels * samples * _BYTES.get(subtype, 8) > 4e9:
        format = "RF64"
    return format, subtype
