"""Read the WaveNet of a `.nam` file: legacy configs (`head_size`, `gated`), 0.7 configs, and slimmable ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from neural_fx.errors import ModelError
from neural_fx.formats import activations
from neural_fx.formats.reader import MAX_DILATION, MAX_HISTORY, MAX_KERNEL, MAX_LAYERS, Node, Weights
from neural_fx.networks import (
    FILM_SITES,
    Activation,
    Conv,
    Film,
    Gating,
    Layer,
    LayerArray,
    Network,
    Slimmable,
    WaveNet,
)

MAX_ARRAYS = 16


def read_wavenet(config: Node, weights: Weights, condition: Callable[[Node], Network]) -> WaveNet | Slimmable:
    """Read the WaveNet that a config describes.

    Args:
        config: the model's `config` object.
        weights: the model's weights, which are taken in file order.
        condition: function that reads the nested model of the condition, if there is one.

    Returns:
        The network. If one of its layer arrays is slimmable, a `Slimmable` of its slices.

    Raises:
        ModelError: names the field that is wrong.
    """
    nested = condition(config["condition_dsp"]) if "condition_dsp" in config else None
    inputs = config["in_channels"].integer(1, 64) if "in_channels" in config else 1
    condition_size = nested.out_channels if nested else inputs
    nodes = config["layers"].items(MAX_ARRAYS, 1)
    arrays: list[LayerArray] = []
    for node in nodes:
        width = arrays[-1].layers[-1].conv.in_channels if arrays else inputs
        accumulated = arrays[-1].head.out_channels if arrays else None
        arrays.append(_array(node, weights, width, condition_size, accumulated))
    post_head: tuple[tuple[Activation, Conv], ...] = ()
    if "head" in config:
        post_head = _post_head(config["head"], weights, arrays[-1].head.out_channels)
    head_scale = float(weights.take(1)[0])
    weights.done()
    network = WaveNet(tuple(arrays), head_scale, post_head, nested)
    _check_history(network, config)
    return _slim(network, nodes)


@dataclass(frozen=True)
class _Shape:
    """Channel counts and groups that all layers of an array share."""

    channels: int
    bottleneck: int
    condition: int
    head1x1: tuple[int, int] | None  # out channels, groups
    layer1x1: int | None  # groups
    groups_input: int
    groups_mixin: int


def _optional(node: Node, key: str, default: int) -> int:
    return node[key].integer(1) if key in node else default


def _active(node: Node, key: str, default: bool) -> Node | None:
    """Return the object at `key` if it is active, else None."""
    if key not in node:
        return Node({}, f"{node.path}.{key}") if default else None
    child = node[key]
    if child.value is False:
        return None
    child.mapping()
    on = child["active"].boolean() if "active" in child else True
    return child if on else None


def _array(node: Node, weights: Weights, width: int, condition_size: int, accumulated: int | None) -> LayerArray:
    for key, expected in (("input_size", width), ("condition_size", condition_size)):
        if key in node and node[key].integer(1) != expected:
            raise ModelError(f"expected {expected}, found {node[key].value}", node[key].path)
    channels = node["channels"].integer(1)
    head1x1 = _active(node, "head1x1", default=False)
    layer1x1 = _active(node, "layer1x1", default=True)
    shape = _Shape(
        channels=channels,
        bottleneck=_optional(node, "bottleneck", channels),
        condition=condition_size,
        head1x1=(_optional(head1x1, "out_channels", channels), _optional(head1x1, "groups", 1)) if head1x1 else None,
        layer1x1=_optional(layer1x1, "groups", 1) if layer1x1 else None,
        groups_input=_optional(node, "groups_input", 1),
        groups_mixin=_optional(node, "groups_input_mixin", 1),
    )
    head_width = shape.head1x1[0] if shape.head1x1 else shape.bottleneck
    if accumulated is not None and accumulated != head_width:
        raise ModelError(f"the previous head has {accumulated} channels, this array adds {head_width}", node.path)
    rechannel = weights.conv(channels, width, bias=False)
    layers = _layers(node, shape, weights)
    return LayerArray(rechannel, layers, _array_head(node, weights, head_width))


def _array_head(node: Node, weights: Weights, width: int) -> Conv:
    """Read the head convolution of an array, in its 0.7 or its legacy form."""
    if "head" in node:
        head = node["head"]
        taps = head["kernel_size"].integer(1, MAX_KERNEL) if "kernel_size" in head else 1
        dilation = head["head_dilation"].integer(1, MAX_DILATION) if "head_dilation" in head else 1
        bias = head["bias"].boolean() if "bias" in head else True
        return weights.conv(head["out_channels"].integer(1), width, taps, bias=bias, dilation=dilation)
    bias = "head_bias" in node and node["head_bias"].boolean()
    return weights.conv(node["head_size"].integer(1), width, bias=bias)


def _layers(node: Node, shape: _Shape, weights: Weights) -> tuple[Layer, ...]:
    dilations = node["dilations"].integers(1, MAX_DILATION)
    count = len(dilations)
    if ("kernel_size" in node) == ("kernel_sizes" in node):
        raise ModelError("needs either kernel_size or kernel_sizes, not both", node.path)
    if "kernel_sizes" in node:
        kernels = [n.integer(1, MAX_KERNEL) for n in node["kernel_sizes"].items(count, count)]
    else:
        kernels = [node["kernel_size"].integer(1, MAX_KERNEL)] * count
    acts = node["activation"].per_layer(count)
    gatings = _gatings(node, count)
    gates = node["secondary_activation"].per_layer(count) if "secondary_activation" in node else [None] * count
    return tuple(
        _layer(node, shape, weights, *spec) for spec in zip(kernels, dilations, acts, gatings, gates, strict=True)
    )


def _gatings(node: Node, count: int) -> list[Gating]:
    if "gating_mode" in node:
        named: dict[str, Gating] = {"none": "none", "gated": "gated", "blended": "blended"}
        return [named[n.choice(*named)] for n in node["gating_mode"].per_layer(count)]
    return ["gated" if "gated" in node and node["gated"].boolean() else "none"] * count


def _layer(
    node: Node,
    shape: _Shape,
    weights: Weights,
    kernel: int,
    dilation: int,
    act: Node,
    gating: Gating,
    gate: Node | None,
) -> Layer:
    wide = shape.bottleneck * (1 if gating == "none" else 2)
    conv = weights.conv(wide, shape.channels, kernel, bias=True, dilation=dilation, groups=shape.groups_input)
    mixin = weights.conv(wide, shape.condition, bias=False, groups=shape.groups_mixin)
    residual = head = None
    if shape.layer1x1:
        residual = weights.conv(shape.channels, shape.bottleneck, bias=True, groups=shape.layer1x1)
    if shape.head1x1:
        head = weights.conv(shape.head1x1[0], shape.bottleneck, bias=True, groups=shape.head1x1[1])
    secondary = Activation("sigmoid")
    if gating != "none" and gate is not None and gate.value not in (None, ""):
        secondary = activations.nam(gate, shape.bottleneck)
    return Layer(
        conv=conv,
        mixin=mixin,
        activation=activations.nam(act, shape.bottleneck),
        gating=gating,
        secondary=secondary,
        residual=residual,
        head=head,
        films=_films(node, shape, wide, weights),
    )


def _films(node: Node, shape: _Shape, wide: int, weights: Weights) -> dict[str, Film]:
    widths = {
        "conv_pre_film": shape.channels,
        "conv_post_film": wide,
        "input_mixin_pre_film": shape.condition,
        "input_mixin_post_film": wide,
        "activation_pre_film": wide,
        "activation_post_film": shape.bottleneck,
        "layer1x1_post_film": shape.channels if shape.layer1x1 else None,
        "head1x1_post_film": shape.head1x1[0] if shape.head1x1 else None,
    }
    films = {}
    for site in FILM_SITES:
        spec, width = _active(node, site, default=False), widths[site]
        if spec is None:
            continue
        if width is None:
            raise ModelError("is active, but the 1x1 convolution that it follows is not", spec.path)
        shift = spec["shift"].boolean() if "shift" in spec else True
        groups = _optional(spec, "groups", 1)
        conv = weights.conv(width * (2 if shift else 1), shape.condition, bias=True, groups=groups)
        films[site] = Film(conv, shift)
    return films


def _post_head(head: Node, weights: Weights, width: int) -> tuple[tuple[Activation, Conv], ...]:
    kernels = head["kernel_sizes"].integers(1, MAX_KERNEL)
    channels, out = head["channels"].integer(1), head["out_channels"].integer(1)
    stages = []
    for i, kernel in enumerate(kernels):
        activation = activations.nam(head["activation"].per_layer(len(kernels))[i], width)
        to = out if i == len(kernels) - 1 else channels
        stages.append((activation, weights.conv(to, width, kernel, bias=True)))
        width = to
    return tuple(stages)


def _check_history(network: WaveNet, config: Node) -> None:
    layers = [layer.conv for array in network.arrays for layer in array.layers]
    convs = layers + [a.head for a in network.arrays] + [c for _, c in network.post_head]
    kept = sum(conv.history * conv.in_channels for conv in convs)
    if kept > MAX_HISTORY:
        raise ModelError(f"would keep {kept} past values per stream; at most {MAX_HISTORY}", config.path)
    if len(layers) > MAX_LAYERS:
        raise ModelError(f"has {len(layers)} layers; at most {MAX_LAYERS}", config.path)


# -- slimming ----------------------------------------------------------------------------------------------------


def _allowed(node: Node, array: LayerArray) -> list[int] | None:
    if "slimmable" not in node:
        return None
    spec = node["slimmable"]
    spec["method"].choice("slice_channels_uniform")
    allowed = spec["kwargs"]["allowed_channels"].integers(1, array.rechannel.out_channels, 64)
    convs = [c for layer in array.layers for c in (layer.conv, layer.mixin, layer.residual, layer.head) if c]
    if any(c.groups > 1 for c in convs) or array.head.weight.shape[2] > 1:
        raise ModelError("slimming needs groups of 1 and a head kernel of 1", spec.path)
    if any(layer.films for layer in array.layers):
        raise ModelError("slimming of layers with FiLM is not defined by the format", spec.path)
    return allowed


def _slim(network: WaveNet, nodes: list[Node]) -> WaveNet | Slimmable:
    """Return the network, or its slices in ascending size if the file allows any."""
    allowed = [_allowed(node, array) for node, array in zip(nodes, network.arrays, strict=True)]
    if not any(allowed):
        return network
    # Each array divides the range 0..1 evenly among its sizes. The common multiple has all of their limits.
    steps = math.lcm(*(len(a) for a in allowed if a))
    if steps > 256:
        raise ModelError("too many combinations of allowed_channels", nodes[0].path)
    sizes = []
    for step in range(steps):
        widths = [a[step * len(a) // steps] if a else n.rechannel.out_channels for a, n in zip(allowed, network.arrays)]
        sizes.append(_slice(network, widths))
    return Slimmable(tuple(sizes), tuple((i + 1) / steps for i in range(steps)))


def _slice(network: WaveNet, widths: list[int]) -> WaveNet:
    """Return the network cut to the first `widths[i]` channels of each array, with bottlenecks in proportion."""
    narrow = []
    for array, channels in zip(network.arrays, widths, strict=True):
        full = array.rechannel.out_channels
        narrow.append([max(1, layer.mixin_width * channels // full) for layer in map(_Widths, array.layers)])
    arrays: list[LayerArray] = []
    into = network.in_channels
    for i, (array, channels) in enumerate(zip(network.arrays, widths, strict=True)):
        layers = tuple(_slice_layer(ly, channels, b) for ly, b in zip(array.layers, narrow[i], strict=True))
        head_in = layers[-1].head.out_channels if layers[-1].head else narrow[i][-1]
        head_out = array.head.out_channels
        if i + 1 < len(network.arrays) and not network.arrays[i + 1].layers[0].head:
            head_out = narrow[i + 1][0]
        arrays.append(LayerArray(_cut(array.rechannel, channels, into), layers, _cut(array.head, head_out, head_in)))
        into = channels
    return replace(network, arrays=tuple(arrays))


@dataclass(frozen=True)
class _Widths:
    layer: Layer

    @property
    def mixin_width(self) -> int:
        """Width of the layer's bottleneck."""
        return self.layer.conv.out_channels // (1 if self.layer.gating == "none" else 2)


def _slice_layer(layer: Layer, channels: int, bottleneck: int) -> Layer:
    full = _Widths(layer).mixin_width
    # A gated layer has two halves of channels, and each of them is cut.
    rows = [*range(bottleneck)] + ([*range(full, full + bottleneck)] if layer.gating != "none" else [])
    conv, mixin = layer.conv, layer.mixin
    activation = layer.activation
    if activation.slopes is not None:
        activation = replace(activation, slopes=activation.slopes[:bottleneck])
    return replace(
        layer,
        conv=replace(conv, weight=conv.weight[rows, :channels], bias=None if conv.bias is None else conv.bias[rows]),
        mixin=replace(mixin, weight=mixin.weight[rows]),
        activation=activation,
        residual=_cut(layer.residual, channels, bottleneck) if layer.residual else None,
        head=_cut(layer.head, layer.head.out_channels, bottleneck) if layer.head else None,
    )


def _cut(conv: Conv, out: int, into: int) -> Conv:
    """Return a convolution cut to its first `out` output and `into` input channels."""
    return replace(conv, weight=conv.weight[:out, :into], bias=None if conv.bias is None else conv.bias[:out])
