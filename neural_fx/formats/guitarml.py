"""Read GuitarML JSON (Proteus, NeuralPi, Chameleon, TS-M1N3).

The files hold LSTM and GRU networks trained by Automated-GuitarAmpModelling. GuitarML's players support fixed sizes
only. This reader accepts any number of layers and any hidden size, and honours `skip`. The files state no sample rate;
their trainer works at 44.1 kHz. The networks start from a zero state.
"""

from __future__ import annotations

import numpy as np

from neural_fx.errors import ModelError
from neural_fx.formats.capture import Capture, Metadata
from neural_fx.formats.reader import MAX_CHANNELS, Node, count_numbers
from neural_fx.formats.registry import Content, Format
from neural_fx.networks import Conv, Recurrent, RecurrentLayer, Sequential

SAMPLE_RATE = 44100.0
KNOBS = ("gain", "master")


def matches(content: Content) -> bool:
    """Return whether a file looks like a GuitarML file."""
    return content.has_keys("model_data", "state_dict")


def read(root: Node) -> Capture:
    """Read the capture in a parsed GuitarML file.

    Raises:
        ModelError: names the field that is wrong.
    """
    data, state = root["model_data"], root["state_dict"]
    unit = data["unit_type"].choice("LSTM", "GRU")
    inputs = data["input_size"].integer(1, 9)
    hidden = data["hidden_size"].integer(1, MAX_CHANNELS)
    skip = data["skip"].integer(0, 64) if "skip" in data else 0
    if "output_size" in data and data["output_size"].integer(1, 64) != 1:
        raise ModelError(f"expected 1 (mono), found {data['output_size'].value}", data["output_size"].path)
    if skip > 1:
        raise ModelError(f"expected 0 or 1 (the audio input), found {skip}", data["skip"].path)
    layers, width = [], inputs
    for i in range(data["num_layers"].integer(1, 64) if "num_layers" in data else 1):
        layers.append(_layer(state, i, width, hidden, 4 if unit == "LSTM" else 3))
        width = hidden
    bias = state["lin.bias"].floats((1,)) if "lin.bias" in state else None
    head = Conv(state["lin.weight"].floats((1, hidden))[..., None], bias)
    recurrent = Recurrent("lstm" if unit == "LSTM" else "gru", tuple(layers))
    return Capture(
        format="guitarml",
        architecture=f"{unit} {hidden}x{len(layers)}",
        network=Sequential(inputs, 1, (recurrent, head), skip=bool(skip)),
        sample_rate=SAMPLE_RATE,
        parameter_count=count_numbers(state.value),
        metadata=Metadata.read(root.mapping().get("metadata")),
        knobs=dict.fromkeys(knob_names(inputs - 1, KNOBS), 0.5),
    )


def knob_names(count: int, usual: tuple[str, ...]) -> list[str]:
    """Return names for knob inputs.

    Args:
        count: number of knobs.
        usual: names of the first knobs in the format's own players. Further ones are `knob3`, `knob4` and so on.
    """
    return [usual[i] if i < len(usual) else f"knob{i + 1}" for i in range(count)]


def _layer(state: Node, index: int, width: int, hidden: int, gates: int) -> RecurrentLayer:
    rows = gates * hidden
    zeros = np.zeros(rows, np.float32)
    biases = [f"rec.bias_{side}_l{index}" for side in ("ih", "hh")]
    b_ih, b_hh = (state[key].floats((rows,)) if key in state else zeros for key in biases)
    start = np.zeros(hidden, np.float32)
    return RecurrentLayer(
        state[f"rec.weight_ih_l{index}"].floats((rows, width)),
        state[f"rec.weight_hh_l{index}"].floats((rows, hidden)),
        b_ih,
        b_hh,
        start,
        start if gates == 4 else None,
    )


FORMAT = Format("GuitarML", matches, lambda content: read(content.root))
