"""Read RTNeural JSON and AIDA-X files (`.json`, `.aidax`).

Both have the layout of Keras. AIDA-X adds gains, a skip connection and a self-test. Gate columns are in Keras' order:
i, f, c, o for an LSTM; z, r, n for a GRU.

Sources: RTNeural's example models; AIDA-X.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neural_fx.arrays import Array
from neural_fx.errors import ModelError
from neural_fx.formats import activations
from neural_fx.formats.capture import Capture, Metadata, SelfTest
from neural_fx.formats.guitarml import knob_names
from neural_fx.formats.nam import affine
from neural_fx.formats.reader import MAX_DILATION, MAX_HISTORY, MAX_KERNEL, Node, count_numbers
from neural_fx.formats.registry import Content, Format
from neural_fx.networks import Activation, Conv, Recurrent, RecurrentLayer, Sequential, Stage

DEFAULT_RATE = 48000.0
KNOBS = ("param1", "param2")
AIDA_KEYS = ("in_skip", "in_gain", "out_gain", "input_batch", "metadata")
AIDA_PREWARM = 2048


def matches(content: Content) -> bool:
    """Return whether a file looks like an RTNeural or AIDA-X file."""
    return content.has_keys("in_shape", "layers")


def read(root: Node) -> Capture:
    """Read the capture in a parsed RTNeural or AIDA-X file.

    Raises:
        ModelError: names the field that is wrong.
    """
    inputs = width = root["in_shape"].items(4, 1)[-1].integer(1, 64)
    stages: list[Stage] = []
    names = []
    for node in root["layers"].items(least=1):
        kind = node["type"].string()
        if kind not in _LAYERS:
            raise ModelError(f"unknown layer type {kind!r}; known: {', '.join(_LAYERS)}", node["type"].path)
        out = node["shape"].items(8, 1)[-1].integer(1)
        stages += _LAYERS[kind](node, width, out)
        names.append(f"{kind} {out}")
        width = out
    if width != 1:
        raise ModelError(f"the last layer has {width} outputs; a mono effect has 1", "layers")
    if sum(s.history * s.in_channels for s in stages if isinstance(s, Conv)) > MAX_HISTORY:
        raise ModelError(f"would keep more than {MAX_HISTORY} past values per stream", "layers")
    skip = root["in_skip"].integer(0, 64) if "in_skip" in root else 0
    if skip > 1:
        raise ModelError(f"expected 0 or 1, found {skip}", "in_skip")
    gains = [10 ** (root[key].number(-200, 200) / 20) if key in root else 1.0 for key in ("in_gain", "out_gain")]
    aida = any(key in root for key in AIDA_KEYS)
    return Capture(
        format="rtneural",
        architecture=", ".join(names),
        network=Sequential(inputs, 1, tuple(stages), bool(skip), *gains),
        sample_rate=_sample_rate(root),
        parameter_count=sum(count_numbers(node["weights"].value) for node in root["layers"].items()),
        metadata=_metadata(root),
        knobs=dict.fromkeys(knob_names(inputs - 1, KNOBS), 0.0),
        prewarm=AIDA_PREWARM if aida else 0,
        self_test=_self_test(root),
    )


def _sample_rate(root: Node) -> float:
    """Return `metadata.samplerate` or the top-level `samplerate`, or 48 kHz. Some files write it as a string."""
    for place in (root.get("metadata"), root):
        if place is None or not isinstance(place.value, dict) or "samplerate" not in place:
            continue
        try:
            rate = float(place["samplerate"].value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            continue
        if 1000 <= rate <= 768000:
            return rate
    return DEFAULT_RATE


def _metadata(root: Node) -> Metadata:
    raw = root.mapping().get("metadata")
    if not isinstance(raw, dict):
        return Metadata()
    names = {"author": "modeled_by", "based": "gear_model", "style": "tone_type"}
    extra = {ours: raw[theirs] for theirs, ours in names.items() if theirs in raw}
    return Metadata.read({**raw, **extra})


def _self_test(root: Node) -> SelfTest | None:
    if "input_batch" not in root or "output_batch" not in root:
        return None
    batches = [_unnest(root[key]).floats() for key in ("input_batch", "output_batch")]
    if len(batches[0]) != len(batches[1]):
        raise ModelError(f"has {len(batches[1])} samples, input_batch has {len(batches[0])}", "output_batch")
    return SelfTest(*batches)


def _unnest(node: Node) -> Node:
    """Flatten a list that may be nested, as in `[[[x], [x], ...]]`."""
    value = node.value
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if isinstance(value, list) and value and all(isinstance(v, list) and len(v) == 1 for v in value):
        value = [v[0] for v in value]
    return Node(value, node.path)


# -- layers: each function takes (node, inputs, outputs) and returns stages ---------------------------------------


def _weights(node: Node, *shapes: tuple[int, ...], least: int) -> list[Array]:
    """Return the layer's weight arrays, which are at least the first `least` of these shapes."""
    found = node["weights"].items(len(shapes), least)
    return [w.floats(shape) for w, shape in zip(found, shapes, strict=False)]


def _own_activation(node: Node) -> list[Stage]:
    """Return the activation that the layer itself names, if any."""
    activation = activations.rtneural(node.get("activation"))
    return [] if activation.name == "linear" else [activation]


def _dense(node: Node, inputs: int, outputs: int) -> list[Stage]:
    weight, *bias = _weights(node, (inputs, outputs), (outputs,), least=1)
    return [Conv(np.ascontiguousarray(weight.T)[..., None], bias[0] if bias else None), *_own_activation(node)]


def _conv1d(node: Node, inputs: int, outputs: int) -> list[Stage]:
    taps = _first(node["kernel_size"]).integer(1, MAX_KERNEL)
    dilation = _first(node["dilation"]).integer(1, MAX_DILATION) if "dilation" in node else 1
    groups = node["groups"].integer(1) if "groups" in node else 1
    if inputs % groups or outputs % groups:
        raise ModelError(f"{inputs} to {outputs} channels cannot be split into {groups} groups", node["groups"].path)
    weight, *bias = _weights(node, (taps, inputs // groups, outputs), (outputs,), least=1)
    kernel = np.ascontiguousarray(weight.transpose(2, 1, 0))
    return [Conv(kernel, bias[0] if bias else None, dilation, groups), *_own_activation(node)]


def _first(node: Node) -> Node:
    """Return the number in a list of one, which is how Keras writes kernel sizes."""
    return node.items(1, 1)[0] if isinstance(node.value, list) else node


def _gates(matrix: Array, order: tuple[int, ...]) -> Array:
    """Convert Keras' gate columns (in, gates * H) to torch's gate rows (gates * H, in), in the given order."""
    parts = np.split(matrix, len(order), axis=-1)
    return np.ascontiguousarray(np.concatenate([parts[i] for i in order], axis=-1).T)


def _lstm(node: Node, inputs: int, outputs: int) -> list[Stage]:
    w, u, b = _weights(node, (inputs, 4 * outputs), (outputs, 4 * outputs), (4 * outputs,), least=3)
    zeros = np.zeros(outputs, np.float32)
    layer = RecurrentLayer(_gates(w, (0, 1, 2, 3)), _gates(u, (0, 1, 2, 3)), b, np.zeros_like(b), zeros, zeros)
    return [Recurrent("lstm", (layer,))]


def _gru(node: Node, inputs: int, outputs: int) -> list[Stage]:
    w, u, b = _weights(node, (inputs, 3 * outputs), (outputs, 3 * outputs), (2, 3 * outputs), least=3)
    swapped = (1, 0, 2)
    b_ih, b_hh = (_gates(row, swapped) for row in b)
    layer = RecurrentLayer(_gates(w, swapped), _gates(u, swapped), b_ih, b_hh, np.zeros(outputs, np.float32))
    return [Recurrent("gru", (layer,))]


def _same_width(node: Node, inputs: int, outputs: int) -> None:
    if inputs != outputs:
        raise ModelError(f"this layer keeps its {inputs} channels, the shape says {outputs}", node["shape"].path)


def _prelu(node: Node, inputs: int, outputs: int) -> list[Stage]:
    _same_width(node, inputs, outputs)
    slopes = _unnest(node["weights"].items(1, 1)[0]).floats()
    if len(slopes) not in (1, inputs):
        raise ModelError(f"expected 1 or {inputs} slopes, found {len(slopes)}", node["weights"].path)
    return [Activation("prelu", slopes=np.broadcast_to(slopes, (inputs,)).copy())]


def _batchnorm(node: Node, inputs: int, outputs: int) -> list[Stage]:
    _same_width(node, inputs, outputs)
    arrays = _weights(node, *[(inputs,)] * 4, least=2)
    epsilon = node["epsilon"].number(0, 1e6) if "epsilon" in node else 1e-3
    if len(arrays) == 4:
        gamma, beta, mean, var = arrays
    elif len(arrays) == 2:
        (mean, var), gamma, beta = arrays, np.ones_like(arrays[0]), np.zeros_like(arrays[0])
    else:
        raise ModelError(f"expected 2 or 4 arrays, found {len(arrays)}", node["weights"].path)
    return [affine(mean, var, gamma, beta, epsilon), *_own_activation(node)]


def _activation(node: Node, inputs: int, outputs: int) -> list[Stage]:
    _same_width(node, inputs, outputs)
    return _own_activation(node)


_LAYERS: dict[str, Callable[[Node, int, int], list[Stage]]] = {
    "dense": _dense,
    "time-distributed-dense": _dense,
    "conv1d": _conv1d,
    "lstm": _lstm,
    "gru": _gru,
    "prelu": _prelu,
    "batchnorm": _batchnorm,
    "activation": _activation,
}


FORMAT = Format("RTNeural / AIDA-X", matches, lambda content: read(content.root), suffixes=(".json", ".aidax"))
