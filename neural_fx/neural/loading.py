"""Load capture files as processors: `load`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from neural_fx.errors import ModelError
from neural_fx.formats import read as read_capture
from neural_fx.neural.processor import NeuralProcessor

if TYPE_CHECKING:

    class LoadedCapture(NeuralProcessor):
        """Return type of `load` for type checkers, which cannot know the knobs of a file."""

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

else:
    LoadedCapture = NeuralProcessor


def load(
    path: str | Path,
    *,
    level: str | float = "raw",
    interface_dbu: float = 12.0,
    device: str = "auto",
    oversample: int = 1,
    **parameters: float,
) -> LoadedCapture:
    """Load a capture file as a processor.

    Args:
        path: a `.nam`, GuitarML, RTNeural, AIDA-X, SMC-2019 WaveNet or pedal file. The format is found by its content.
        level: the output level; this and the others as for `NeuralProcessor`.
        interface_dbu: level of the audio interface.
        device: where it runs.
        oversample: 1, 2, 4 or 8.
        parameters: start values.

    Raises:
        ModelError: the file is not a model, or one of its fields is wrong. Names the file and the field.
        ParameterError: an unknown parameter or a value out of range.
    """
    capture = read_capture(path)
    try:
        return LoadedCapture(
            capture, level=level, interface_dbu=interface_dbu, device=device, oversample=oversample, **parameters
        )
    except ModelError as error:
        raise error.inside(path) from None
