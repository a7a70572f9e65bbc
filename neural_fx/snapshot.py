"""Export a capture at a fixed knob position as a standard `.nam` file."""

from __future__ import annotations

from collections.abc import Mapping

from neural_fx.errors import ModelError
from neural_fx.formats import Capture
from neural_fx.formats.nam_writer import nam_bytes
from neural_fx.networks import Sequential, WaveNet, kind_of
from neural_fx.parameters import Parameter, unknown_parameter


def snapshot(capture: Capture, positions: Mapping[str, object] | None = None) -> bytes:
    """Return a `.nam` file that sounds like the capture at a fixed knob position.

    The knobs of our own pedal files fold exactly into the weights. The file then has version 0.7.0.

    Args:
        capture: of any format.
        positions: knob rotations 0..1 by name. Other knobs keep their defaults.

    Returns:
        The bytes of the file.

    Raises:
        ParameterError: an unknown knob, or a rotation outside 0..1.
        ModelError: a `.nam` cannot hold the network, or its knobs cannot be folded.
    """
    turns = dict(capture.knobs)
    for name, value in (positions or {}).items():
        if name not in turns:
            raise unknown_parameter("the capture", name, list(turns))
        turns[name] = Parameter(name, 0, 1, turns[name]).check(value)
    network, about = capture.network, dict(capture.metadata.everything)
    hold = kind_of(network).hold
    if hold is not None:
        network = hold(network, list(turns.values()))
        about |= {"name": _snapshot_name(about.get("name"), turns), "loudness": None, "gain": None}
    elif turns:
        raise ModelError(f"has knobs ({', '.join(turns)}) as inputs of its network, which a .nam cannot hold")
    if not isinstance(network, (WaveNet, Sequential)):
        raise ModelError(f"is not a single network but {capture.architecture}; only a WaveNet or LSTM can be exported")
    try:
        return nam_bytes(network, capture.sample_rate, about, modern=hold is not None)
    except ValueError as error:
        raise ModelError(str(error)) from None


def _snapshot_name(name: object, turns: Mapping[str, float]) -> str:
    return " ".join([str(name or "pedal"), *(f"{knob} {turn:g}" for knob, turn in turns.items())])
