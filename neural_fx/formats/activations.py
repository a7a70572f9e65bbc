"""Convert the activation names of each file format to `neural_fx.networks.Activation`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from neural_fx.errors import ModelError
from neural_fx.formats.reader import Node
from neural_fx.networks import Activation

_NAM = {
    "Tanh": "tanh",
    "Hardtanh": "hardtanh",
    "Fasttanh": "fasttanh",
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "Sigmoid": "sigmoid",
    "SiLU": "silu",
    "Hardswish": "hardswish",
    "LeakyHardtanh": "leaky_hardtanh",
    "LeakyHardTanh": "leaky_hardtanh",
    "Softsign": "softsign",
}
_DEFAULTS: Mapping[str, dict[str, float]] = {
    "LeakyReLU": {"negative_slope": 0.01},
    "PReLU": {"negative_slope": 0.01},
    "LeakyHardtanh": {"min_val": -1.0, "max_val": 1.0, "min_slope": 0.01, "max_slope": 0.01},
    "LeakyHardTanh": {"min_val": -1.0, "max_val": 1.0, "min_slope": 0.01, "max_slope": 0.01},
}
_RTNEURAL = {
    "": "linear",
    "linear": "linear",
    "tanh": "tanh",
    "relu": "relu",
    "sigmoid": "sigmoid",
    "softmax": "softmax",
    "elu": "elu",
}
_WAVENETVA = {
    "gated": ("tanh", "sigmoid"),
    "softgated": ("softsign", "softsign"),
    "tanh": ("tanh", None),
    "sigmoid": ("sigmoid", None),
    "relu": ("relu", None),
    "softsign": ("softsign", None),
    "linear": ("linear", None),
}


def nam(node: Node, channels: int) -> Activation:
    """Read the activation of a `.nam` config.

    Args:
        node: a name, or an object with `type` and its parameters.
        channels: number of channels that it acts on. A per-channel PReLU must have as many slopes.

    Returns:
        The activation, with the format's defaults for parameters that are not given.

    Raises:
        ModelError: the name is unknown, or a parameter is wrong.
    """
    spec = node if isinstance(node.value, dict) else Node({"type": node.value}, node.path)
    kind = spec["type"]
    if kind.value == "Softsigmoid":
        raise ModelError("Softsigmoid is known to the trainer only; the C++ engine refuses it too", kind.path)
    name = kind.string()
    if name not in _NAM:
        _unknown(kind, _NAM)
    if name == "PReLU" and "negative_slopes" in spec:
        return Activation("prelu", slopes=spec["negative_slopes"].floats((channels,)))
    params = {key: spec[key].number() if key in spec else value for key, value in _DEFAULTS.get(name, {}).items()}
    if name == "PReLU":
        return Activation("leaky_relu", params)
    return Activation(_NAM[name], params)


def rtneural(node: Node | None) -> Activation:
    """Read the activation of an RTNeural layer: a string, empty or absent for none."""
    if node is None:
        return Activation("linear")
    if node.string() not in _RTNEURAL:
        _unknown(node, _RTNEURAL)
    return Activation(_RTNEURAL[node.string()])


def wavenetva(node: Node) -> tuple[Activation, Activation | None]:
    """Read the activation of an SMC-2019 WaveNet.

    Returns:
        The activation and that of its gate, which is None if the layers are not gated.
    """
    if node.string() not in _WAVENETVA:
        _unknown(node, _WAVENETVA)
    main, gate = _WAVENETVA[node.string()]
    return Activation(main), Activation(gate) if gate else None


def _unknown(node: Node, names: Mapping[str, object]) -> NoReturn:
    raise ModelError(f"unknown activation {node.value!r}; known: {', '.join(filter(None, names))}", node.path)
