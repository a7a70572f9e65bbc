"""Read model files: turn bytes into a plain, validated description of a network.

Nothing here needs torch, processes audio, or executes anything from a file.

`read` recognises a format by the content, not by the file name. Each format is one module:

- `nam`: Neural Amp Modeler;
- `guitarml`: GuitarML's LSTM and GRU networks;
- `rtneural`: RTNeural and AIDA-X;
- `wavenetva`: the models of the SMC-2019 paper;
- `pedal`: our own captures with knobs.

`network` holds the description that all of them produce. `FORMATS` is the registry of formats. Other packages add
formats to it through the entry-point group ``neural_fx.formats``.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from neural_fx.errors import ModelError, reason
from neural_fx.formats.capture import Capture, Metadata
from neural_fx.formats.reader import MAX_BYTES
from neural_fx.formats.registry import FORMATS, Content, Format
from neural_fx.inputs import content_problem, special_problem, without_waiting
from neural_fx.networks import Network

__all__ = ["FORMATS", "Capture", "Content", "Format", "Metadata", "Network", "parse", "read"]

_FOREIGN = (
    (b"PK\x03\x04", "is a zip archive, as PyTorch and Neutone write them: a program, not data, so it is never opened"),
    (b"\x80", "is a Python pickle: a program, not data, so it is never opened"),
    (b"\x89HDF", "is an HDF5 file (Keras); convert it to RTNeural JSON first"),
    (b"RIFF", "is a WAV file, not a model; an impulse response goes into a board as an `ir` slot"),
    (b"fLaC", "is a FLAC file, not a model"),
    (b"<", "is a web page or XML, not a model: the download probably failed"),
)


def read(path: str | Path) -> Capture:
    """Read a model file of any known format.

    Args:
        path: a `.nam`, GuitarML, RTNeural, AIDA-X, SMC-2019 WaveNet or pedal file. Its name does not matter.

    Returns:
        The validated capture, with its `path` set.

    Raises:
        ModelError: it is none of these, or one of its fields is wrong. The message names the file and the field.
    """
    path = Path(path)
    problem = special_problem(path)
    if problem is not None:
        raise ModelError(problem, file=path)
    try:
        size = path.stat().st_size
        if path.is_file() and size > MAX_BYTES:
            raise ModelError(f"is {size / 2**20:.0f} MB; model files here are at most {MAX_BYTES // 2**20} MB")
        with open(path, "rb", opener=without_waiting) as file:
            data = file.read(MAX_BYTES + 1)
        return replace(parse(data), path=path.absolute())
    except OSError as error:
        raise ModelError(f"cannot be read: {reason(error)}", file=path) from None
    except ModelError as error:
        raise error.inside(path) from None


def parse(data: bytes) -> Capture:
    """Read a capture from the bytes of a model file.

    Args:
        data: the whole file.

    Raises:
        ModelError: as for `read`.
    """
    if not data.strip():
        raise ModelError("is empty")
    content = Content(data)
    try:
        for format in FORMATS:
            if _matches(format, content):
                return format.read(content)
    except RecursionError:
        raise ModelError("is nested too deeply to be a model") from None
    raise _problem(content)


def _matches(format: Format, content: Content) -> bool:
    """Return whether a file is of a format.

    A format of another package may fail here. Then it counts as no match, with a warning.
    """
    try:
        return format.matches(content)
    except RecursionError:
        raise
    except Exception as error:
        problem = f"{type(error).__name__}: {reason(error)}"
        warnings.warn(f"format {format.name} failed to look at a file: {problem}", stacklevel=4)
        return False


def _problem(content: Content) -> ModelError:
    """Return the error for a file that matches no format. It says what the file is, if that is known."""
    for magic, what in _FOREIGN:
        if content.data.lstrip().startswith(magic):
            return ModelError(what)
    problem = content_problem(content.data[:256])
    if problem is not None:
        return ModelError(problem)
    return content.problem or ModelError(f"is JSON, but none of the known models: {', '.join(FORMATS.names())}")
