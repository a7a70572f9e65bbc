"""Write `.nam` files.

Plain WaveNets like the A1 architecture and LSTMs are written as version 0.5.4, which every player reads. Other WaveNets
are written as 0.7.0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from neural_fx.arrays import Array
from neural_fx.networks import FILM_SITES, Activation, Conv, Layer, LayerArray, Network, Recurrent, Sequential, WaveNet


def nam_bytes(
    network: Network, sample_rate: float, metadata: Mapping[str, Any] | None = None, *, modern: bool = False
) -> bytes:
    """Return the bytes of a `.nam` file.

    Args:
        network: an LSTM with a linear output, or a WaveNet. Its layers must have biases where the format has them, as
            all that `read` returns do.
        sample_rate: Hz at which the network runs.
        metadata: the file's `metadata` object.
        modern: write version 0.7.0 even where 0.5.4 would do.

    Raises:
        ValueError: the network has parts that the format cannot hold.
    """
    if isinstance(network, WaveNet):
        document = _document(network, sample_rate, metadata or {}, modern)
    elif isinstance(network, Sequential):
        document = _lstm_document(network, sample_rate, metadata or {}, modern)
    else:
        raise ValueError("a .nam holds one WaveNet or LSTM without knobs")
    return json.dumps(document).encode()


def _document(
    network: WaveNet, sample_rate: float, metadata: Mapping[str, Any], modern: bool = False
) -> dict[str, Any]:
    legacy = not modern and not network.post_head and network.condition is None and all(map(_is_legacy, network.arrays))
    config: dict[str, Any] = {
        "layers": [(_legacy_config if legacy else _config)(array) for array in network.arrays],
        "head": _post_head_config(network) if network.post_head else None,
        "head_scale": float(network.head_scale),
    }
    if network.arrays[0].rechannel.in_channels > 1:
        config["in_channels"] = network.arrays[0].rechannel.in_channels
    if isinstance(network.condition, WaveNet):
        config["condition_dsp"] = _document(network.condition, sample_rate, {})
    elif network.condition is not None:
        raise ValueError("only a WaveNet can be written as the condition model")
    parts = [_weights(array) for array in network.arrays]
    parts += [_flat(_conv_parts([conv])) for _, conv in network.post_head]
    flat = np.concatenate([*parts, np.array([network.head_scale], np.float32)])
    return _wrapped("WaveNet", "0.5.4" if legacy else "0.7.0", config, flat, sample_rate, metadata)


def _lstm_document(network: Sequential, rate: float, metadata: Mapping[str, Any], modern: bool) -> dict[str, Any]:
    recurrent, head = (*network.stages, None, None)[:2]
    simple = isinstance(recurrent, Recurrent) and isinstance(head, Conv) and len(network.stages) == 2
    if not simple or network.skip or (network.input_gain, network.output_gain) != (1, 1):
        raise ValueError("of recurrent networks, a .nam holds LSTM layers and one linear output, without a bypass")
    assert isinstance(recurrent, Recurrent)
    assert isinstance(head, Conv)
    if recurrent.kind != "lstm" or head.weight.shape[2] != 1 or network.out_channels != 1:
        raise ValueError("of recurrent networks, a .nam holds LSTMs with one output only")
    parts: list[Array] = []
    for layer in recurrent.layers:
        start = np.zeros(layer.hidden_size, np.float32)
        parts += [np.hstack((layer.w_ih, layer.w_hh)).ravel(), layer.b_ih + layer.b_hh, layer.h0]
        parts.append(start if layer.c0 is None else layer.c0)
    parts += [head.weight.ravel(), np.zeros(1, np.float32) if head.bias is None else head.bias]
    config = {
        "input_size": network.in_channels,
        "hidden_size": recurrent.layers[0].hidden_size,
        "num_layers": len(recurrent.layers),
    }
    return _wrapped("LSTM", "0.7.0" if modern else "0.5.4", config, np.concatenate(parts), rate, metadata)


def _wrapped(
    architecture: str, version: str, config: dict[str, Any], flat: Array, rate: float, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "version": version,
        "metadata": dict(metadata),
        "architecture": architecture,
        "config": config,
        "weights": [float(str(w)) for w in flat],  # the shortest decimals that read back as the same float32
        "sample_rate": int(rate) if float(rate).is_integer() else rate,
    }


# -- activations -------------------------------------------------------------------------------------------------

_NAMES = {
    "tanh": "Tanh",
    "hardtanh": "Hardtanh",
    "fasttanh": "Fasttanh",
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "sigmoid": "Sigmoid",
    "silu": "SiLU",
    "hardswish": "Hardswish",
    "leaky_hardtanh": "LeakyHardtanh",
    "softsign": "Softsign",
}


def _activation(activation: Activation) -> dict[str, Any]:
    if activation.name not in _NAMES:
        raise ValueError(f"the format has no activation {activation.name!r}")
    spec: dict[str, Any] = {"type": _NAMES[activation.name], **activation.params}
    if activation.slopes is not None:
        spec["negative_slopes"] = [float(s) for s in activation.slopes]
    return spec


# -- configs -----------------------------------------------------------------------------------------------------


def _is_legacy(array: LayerArray) -> bool:
    """Return whether a 0.5.4 config can describe the array.

    It can if all layers have one kernel size and one activation without parameters, and no newer feature is used.
    """
    first = array.layers[0]
    return array.head.weight.shape[2] == 1 and all(
        layer.gating == "none"
        and not layer.films
        and layer.head is None
        and layer.residual is not None
        and layer.residual.groups == layer.conv.groups == layer.mixin.groups == 1
        and layer.conv.weight.shape == first.conv.weight.shape
        and layer.conv.out_channels == array.rechannel.out_channels
        and layer.activation.name == first.activation.name
        and layer.activation.name in ("tanh", "relu", "sigmoid", "hardtanh")
        for layer in array.layers
    )


def _legacy_config(array: LayerArray) -> dict[str, Any]:
    first = array.layers[0]
    return {
        "input_size": array.rechannel.in_channels,
        "condition_size": first.mixin.in_channels,
        "head_size": array.head.out_channels,
        "channels": array.rechannel.out_channels,
        "kernel_size": int(first.conv.weight.shape[2]),
        "dilations": [layer.conv.dilation for layer in array.layers],
        "activation": _NAMES[first.activation.name],
        "gated": False,
        "head_bias": array.head.bias is not None,
    }


def _config(array: LayerArray) -> dict[str, Any]:
    first = array.layers[0]
    head: dict[str, Any] = {
        "out_channels": array.head.out_channels,
        "kernel_size": int(array.head.weight.shape[2]),
        "bias": array.head.bias is not None,
    }
    if array.head.dilation != 1:
        head["head_dilation"] = array.head.dilation
    gated = first.gating != "none"
    config = {
        "input_size": array.rechannel.in_channels,
        "condition_size": first.mixin.in_channels,
        "head": head,
        "channels": array.rechannel.out_channels,
        "bottleneck": first.conv.out_channels // (2 if gated else 1),
        "kernel_sizes": [int(layer.conv.weight.shape[2]) for layer in array.layers],
        "dilations": [layer.conv.dilation for layer in array.layers],
        "activation": [_activation(layer.activation) for layer in array.layers],
        "gating_mode": [layer.gating for layer in array.layers],
        "secondary_activation": [
            None if layer.gating == "none" else _activation(layer.secondary) for layer in array.layers
        ],
        "layer1x1": _one_by_one(first.residual),
        "head1x1": _one_by_one(first.head),
        "groups_input": first.conv.groups,
        "groups_input_mixin": first.mixin.groups,
        "slimmable": None,
    }
    return config | {site: _film(first, site) for site in FILM_SITES}


def _one_by_one(conv: Conv | None) -> dict[str, Any]:
    if conv is None:
        return {"active": False, "out_channels": 1, "groups": 1}
    return {"active": True, "out_channels": conv.out_channels, "groups": conv.groups}


def _film(layer: Layer, site: str) -> dict[str, Any]:
    film = layer.films.get(site)
    if film is None:
        return {"active": False, "shift": True, "groups": 1}
    return {"active": True, "shift": film.shift, "groups": film.conv.groups}


def _post_head_config(network: WaveNet) -> dict[str, Any]:
    convs = [conv for _, conv in network.post_head]
    return {
        "channels": convs[0].out_channels,
        "out_channels": convs[-1].out_channels,
        "kernel_sizes": [int(conv.weight.shape[2]) for conv in convs],
        "activation": [_activation(activation) for activation, _ in network.post_head],
    }


# -- weights -----------------------------------------------------------------------------------------------------


def _weights(array: LayerArray) -> Array:
    convs: list[Conv | None] = [array.rechannel]
    for layer in array.layers:
        convs += [layer.conv, layer.mixin, layer.residual, layer.head]
        convs += [layer.films[site].conv for site in FILM_SITES if site in layer.films]
    return _flat(_conv_parts([*convs, array.head]))


def _conv_parts(convs: Iterable[Conv | None]) -> list[Array]:
    return [part for conv in convs if conv for part in (conv.weight, conv.bias) if part is not None]


def _flat(parts: list[Array]) -> Array:
    return np.concatenate([part.ravel() for part in parts])
