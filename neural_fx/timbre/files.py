"""Read and write timbre files.

A timbre has the weights of a decoder, a room, and statistics of how the instrument is played in the recordings.

The file is a safetensors archive (see `neural_fx.formats.archive`). The fields of its description are ``format``
(``neural-fx-timbre``), ``version`` (1), ``hidden``, ``harmonics``, ``habits`` (see `Habits`) and ``metadata``. Its
tensors are those of the decoder (see `neural_fx.timbre.decoder.weight_shapes`) and ``reverb``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_fx.errors import ModelError
from neural_fx.formats.archive import archive_bytes, matches, open_archive, read_archive
from neural_fx.inputs import content_problem
from neural_fx.timbre.decoder import Decoder, Shape, weight_shapes

FORMAT = "neural-fx-timbre"
MAX_BYTES = 2**24


@dataclass(frozen=True)
class Habits:
    """How the instrument is played in the recordings.

    Attributes:
        low_hz: lower end of the register, without the few lowest notes.
        high_hz: upper end of the register, without the few highest notes.
        quiet_db: A-weighted loudness of the tones, 10th percentile.
        usual_db: the same, 50th percentile.
        loud_db: the same, 90th percentile.
        attack_seconds: time from near silence to near full level.
        release_db_per_second: how fast tones fade at their end.
        vibrato_hz: typical rate of the vibrato.
        vibrato_cents: typical depth of the vibrato, from the middle to either side; 0 for none.
    """

    low_hz: float = 110.0
    high_hz: float = 1760.0
    quiet_db: float = -40.0
    usual_db: float = -28.0
    loud_db: float = -20.0
    attack_seconds: float = 0.05
    release_db_per_second: float = 200.0
    vibrato_hz: float = 5.5
    vibrato_cents: float = 0.0

    def between(self, other: Habits, share: float) -> Habits:
        """Interpolate between these habits and others.

        Args:
            other: the other habits.
            share: 0 for these, 1 for the others.
        """
        if share == 0 or other is self:
            return self
        mine, theirs = vars(self), vars(other)
        return Habits(**{name: mine[name] + share * (theirs[name] - mine[name]) for name in mine})


_RANGES = {
    "low_hz": (10, 10000), "high_hz": (10, 20000), "quiet_db": (-120, 20), "usual_db": (-120, 20),
    "loud_db": (-120, 20), "attack_seconds": (0, 5), "release_db_per_second": (1, 100000), "vibrato_hz": (0.1, 20),
    "vibrato_cents": (0, 200),
}  # fmt: skip


@dataclass(frozen=True)
class Timbre:
    """An instrument's sound.

    Attributes:
        name: for display.
        decoder: its network.
        reverb: (taps,), impulse response of its room at 48 kHz, without the direct sound.
        habits: how it is played.
        metadata: everything else that its file states.
    """

    name: str
    decoder: Decoder
    reverb: NDArray[np.float32]
    habits: Habits
    metadata: dict[str, Any] = field(default_factory=dict)


def read_timbre(path: str | Path) -> Timbre:
    """Read a timbre file.

    Args:
        path: the file.

    Raises:
        ModelError: the file cannot be read, is damaged or incomplete, or is not a timbre file. Names the file and the
            field.
    """
    path = Path(path)
    data = read_archive(path, MAX_BYTES, "a timbre")
    try:
        return _parse(data, path.stem)
    except ModelError as error:
        raise error.inside(path) from None


def _parse(data: bytes, name: str) -> Timbre:
    if not matches(data):
        problem = content_problem(data[:256])
        if problem is not None:
            raise ModelError(problem)
        raise ModelError("is not a timbre file: expected a safetensors archive; neural-fx train-timbre makes one")
    root, tensors = open_archive(data, FORMAT)
    hidden, harmonics = root["hidden"].integer(1, 1024), root["harmonics"].integer(1, 512)
    node = root["habits"]
    habits = Habits(**{f.name: node[f.name].number(*_RANGES[f.name]) for f in fields(Habits)})
    if habits.low_hz >= habits.high_hz:
        raise ModelError("expected more than low_hz", "habits.high_hz")
    reverb = tensors.take("reverb", None)
    shape = Shape(hidden, harmonics, len(reverb))
    weights = {key: tensors.take(key, *size) for key, size in weight_shapes(shape).items()}
    tensors.done()
    metadata = root["metadata"].mapping() if "metadata" in root else {}
    return Timbre(str(metadata.get("name") or name), Decoder(shape, weights), reverb, habits, metadata)


def timbre_bytes(
    shape: Shape, weights: Mapping[str, NDArray[Any]], reverb: NDArray[Any], habits: Habits, metadata: Mapping[str, Any]
) -> bytes:
    """Return the bytes of a timbre file.

    Args:
        shape: sizes of the decoder.
        weights: the decoder's arrays by name.
        reverb: (taps,), impulse response of the room at 48 kHz, without the direct sound.
        habits: how the instrument is played.
        metadata: everything else, as JSON values.
    """
    about = {"hidden": shape.hidden, "harmonics": shape.harmonics, "habits": asdict(habits), "metadata": dict(metadata)}
    return archive_bytes(FORMAT, about, {**{k: weights[k] for k in weight_shapes(shape)}, "reverb": reverb})
