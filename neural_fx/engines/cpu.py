"""Run networks in compiled kernels, on one CPU core, in real time.

`supports` tells which networks the kernels run. The torch engine runs the others.

The output equals that of the torch reference, but for rounding:

- tanh is a rational function, or a table of polynomials in recurrent networks, within 4e-7;
- on processors with matrix units for bfloat16 (AMX), WaveNets that run faster there use them. Each factor then has 17
  bits, and the ESR is 1e-9 at most.

The kernels flush denormals, and restore the caller's mode.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from neural_fx.formats.network import (
    FILM_SITES,
    Activation,
    Affine,
    Array,
    Conv,
    Film,
    Knobbed,
    Layer,
    LayerArray,
    Network,
    Recurrent,
    RecurrentLayer,
    Sequential,
    Slimmable,
    WaveNet,
    walk,
)

if TYPE_CHECKING:
    from neural_fx.native import _core

    core = _core
else:
    try:
        core = import_module("neural_fx.native._core")
    except ImportError:  # there was no compiler at installation, so the torch engine runs everything
        core = None

KNOWN_SETS = ("amx", "avx512", "avx2", "sse2", "generic")
_limit = os.environ.get("NEURAL_FX_INSTRUCTION_SET", "")
if _limit and _limit not in KNOWN_SETS:
    warnings.warn(f"NEURAL_FX_INSTRUCTION_SET={_limit}: ignored; expected one of {', '.join(KNOWN_SETS)}", stacklevel=2)

_ACTIVATIONS = ("tanh", "fasttanh", "hardtanh", "relu", "leaky_relu", "prelu", "sigmoid", "silu", "hardswish",
                "leaky_hardtanh", "softsign", "linear")  # fmt: skip
_FAST = {"tanh": "tanh_fast", "sigmoid": "sigmoid_fast"}
_PARAMETERS = {"leaky_relu": ("negative_slope",), "leaky_hardtanh": ("min_val", "max_val", "min_slope", "max_slope")}


def available() -> bool:
    """Return whether the compiled kernels were built for this installation."""
    return core is not None


def instruction_set() -> str:
    """Return the instruction set that the kernels use here: ``amx``, ``avx512``, ``avx2``, ``sse2`` or ``generic``."""
    return str(core.instruction_set())


def instruction_sets() -> list[str]:
    """Return the instruction sets that the kernels can use on this machine, the best first.

    The environment variable NEURAL_FX_INSTRUCTION_SET names the best one that may be used. It is read once.
    """
    return list(core.instruction_sets()) if core is not None else []


def supports(network: Network) -> bool:
    """Return whether the kernels run a network.

    They run:

    - WaveNets, if their condition is the input or another WaveNet;
    - chains of convolutions, activations and scalings;
    - LSTM or GRU layers with one linear output.

    They do not run softmax, ELU, or recurrent layers mixed with other stages.
    """
    if core is None or isinstance(network, Slimmable):
        return False
    if any(isinstance(part, Activation) and part.name not in _ACTIVATIONS for part in walk(network)):
        return False
    if isinstance(network, Knobbed):
        plain = all(not layer.films for stack in network.network.arrays for layer in stack.layers)
        return plain and supports(network.network)
    if isinstance(network, WaveNet):
        return network.condition is None or (isinstance(network.condition, WaveNet) and supports(network.condition))
    recurrent = any(isinstance(stage, Recurrent) for stage in network.stages)
    return not recurrent or _is_plain_recurrent(network)


def _is_plain_recurrent(network: Sequential) -> bool:
    if len(network.stages) != 2 or network.out_channels != 1:
        return False
    recurrent, head = network.stages
    return isinstance(recurrent, Recurrent) and isinstance(head, Conv) and head.weight.shape[2] == 1


def fma_peak() -> float:
    """Measure for about 20 ms how many GFLOP/s of fused multiply-adds one core reaches."""
    return float(core.fma_peak())


class CpuEngine:
    """A network in the compiled kernels.

    Args:
        network: one that `supports` accepts.
        instruction_set: one of `instruction_sets`, for tests; ``""`` for the best that the machine has.
        fast: compute tanh and sigmoid to about four digits (ESR 1e-6 at most), in fewer operations.
    """

    def __init__(self, network: Network, instruction_set: str = "", fast: bool = False) -> None:
        self.instruction_set = instruction_set
        self.in_channels, self.out_channels = network.in_channels, network.out_channels
        self.net = describe(network, fast)

    def stream(self, batch: int) -> CpuStream:
        """Open `batch` streams that are processed in one call."""
        return CpuStream(self, batch)


class CpuStream:
    """Streams of one `CpuEngine`.

    Args:
        engine: the network.
        batch: number of streams.
    """

    def __init__(self, engine: CpuEngine, batch: int) -> None:
        self._out_channels = engine.out_channels
        self._in_channels, self._batch = engine.in_channels, batch
        self._native = engine.net.batch(batch, engine.instruction_set)

    @property
    def kernels(self) -> _core.Batch:
        """The streams in the compiled kernels, for the native loop: one stream for each channel."""
        return self._native

    def reset(self, prewarm: int, controls: Array) -> None:
        """Start again, after `prewarm` samples of silence with the knobs at `controls`."""
        self._native.reset()
        if prewarm:
            silence = np.zeros((self._batch, self._in_channels, prewarm), np.float32)
            silence[:, 1:] = controls[:, None]
            self.process(silence)

    @property
    def allocations(self) -> int | None:
        """Number of C++ allocations in `process` so far. Only tests count them; for others it is None."""
        return self._native.allocations

    def process(self, x: Array) -> Array:
        """Process a block: (batch, in_channels, samples) to (batch, out_channels, samples)."""
        x = np.ascontiguousarray(x, np.float32)
        y = np.empty((x.shape[0], self._out_channels, x.shape[2]), np.float32)
        self._native.process(x, y)
        return y


def _conv(conv: Conv | None) -> _core.Conv:
    """Convert a convolution for the kernels. Weights between groups become zeros."""
    if conv is None:
        return core.Conv(0, 0, 1, 1, [], [])
    weight = conv.weight
    if conv.groups > 1:
        out, per_group, taps = weight.shape
        weight = np.zeros((out, conv.in_channels, taps), np.float32)
        for o in range(out):
            group = o * conv.groups // out
            weight[o, group * per_group : (group + 1) * per_group] = conv.weight[o]
    bias = [] if conv.bias is None else conv.bias.tolist()
    return core.Conv(weight.shape[0], weight.shape[1], weight.shape[2], conv.dilation, weight.ravel().tolist(), bias)


def _activation(activation: Activation) -> _core.Activation:
    if activation.slopes is not None:
        params = activation.slopes.tolist()
    else:
        params = [activation.params[name] for name in _PARAMETERS.get(activation.name, ())]
    return core.Activation(getattr(core.Act, activation.name), params)


def _layer(layer: Layer) -> _core.Layer:
    made = core.Layer()
    made.conv, made.mixin = _conv(layer.conv), _conv(layer.mixin)
    made.residual, made.head = _conv(layer.residual), _conv(layer.head)
    made.activation, made.secondary = _activation(layer.activation), _activation(layer.secondary)
    made.gating = getattr(core.Gating, layer.gating)
    if layer.films:
        made.films = [_film(layer.films.get(site)) for site in FILM_SITES]
    return made


def _film(film: Film | None) -> _core.Film:
    return core.Film(_conv(film.conv if film else None), film.shift if film else True)


def _array(array: LayerArray) -> _core.Array:
    made = core.Array()
    made.rechannel, made.head = _conv(array.rechannel), _conv(array.head)
    made.layers = [_layer(layer) for layer in array.layers]
    return made


def _with_fast_activations(part: Any) -> Any:
    """Return a description in which all activations that have a fast form use it."""
    if isinstance(part, Activation):
        return replace(part, name=_FAST.get(part.name, part.name))
    if isinstance(part, tuple):
        return tuple(_with_fast_activations(item) for item in part)
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{f.name: _with_fast_activations(getattr(part, f.name)) for f in fields(part) if f.init})
    return part


def describe(
    network: Network, fast: bool = False
) -> _core.WaveNet | _core.Knobbed | _core.Sequential | _core.Recurrent:
    """Convert a network to the kernels' own description.

    Args:
        network: one that `supports` accepts.
        fast: use the fast forms of tanh and sigmoid.
    """
    if fast:
        network = _with_fast_activations(network)
    if isinstance(network, WaveNet):
        return describe_wavenet(network)
    if isinstance(network, Knobbed):
        return _knobbed(network)
    assert isinstance(network, Sequential)
    return _recurrent(network, fast) if _is_plain_recurrent(network) else _sequential(network)


def describe_wavenet(network: WaveNet) -> _core.WaveNet:
    """Convert a WaveNet to the kernels' own description."""
    made = core.WaveNet()
    made.in_, made.head_scale = network.in_channels, network.head_scale
    made.arrays = [_array(array) for array in network.arrays]
    made.post = [_post_stage(*stage) for stage in network.post_head]
    made.condition = [describe_wavenet(network.condition)] if isinstance(network.condition, WaveNet) else []
    return made


def _knobbed(network: Knobbed) -> _core.Knobbed:
    made = core.Knobbed()
    made.net, made.learned = describe_wavenet(network.network), list(network.learned)
    for dense in network.dense:
        out, into = dense.weight.shape
        made.add_dense(out, into, dense.weight.ravel().tolist(), dense.bias.tolist())
    for level in network.levels:
        made.add_level(level.index, level.gains.tolist())
    return made


def _post_stage(activation: Activation, conv: Conv) -> _core.PostStage:
    made = core.PostStage()
    made.activation, made.conv = _activation(activation), _conv(conv)
    return made


def _sequential(network: Sequential) -> _core.Sequential:
    made = core.Sequential()
    made.in_, made.out = network.in_channels, network.out_channels
    made.skip, made.input_gain, made.output_gain = network.skip, network.input_gain, network.output_gain
    made.stages = [_stage(stage) for stage in network.stages]
    return made


def _stage(stage: object) -> _core.Stage:
    made = core.Stage()
    made.conv, made.activation = _conv(None), _activation(Activation("linear"))
    if isinstance(stage, Conv):
        made.conv = _conv(stage)
    elif isinstance(stage, Affine):
        made.scale, made.shift = stage.scale.tolist(), stage.shift.tolist()
    elif isinstance(stage, Activation):
        made.activation = _activation(stage)
    return made


def _recurrent_layer(layer: RecurrentLayer) -> _core.RecurrentLayer:
    made = core.RecurrentLayer()
    made.in_, made.hidden = layer.w_ih.shape[1], layer.hidden_size
    for name in ("w_ih", "w_hh", "b_ih", "b_hh", "h0"):
        setattr(made, name, getattr(layer, name).ravel().tolist())
    made.c0 = [] if layer.c0 is None else layer.c0.tolist()
    return made


def _recurrent(network: Sequential, fast: bool) -> _core.Recurrent:
    recurrent, head = network.stages
    assert isinstance(recurrent, Recurrent)
    assert isinstance(head, Conv)
    made = core.Recurrent()
    made.lstm, made.skip, made.fast = recurrent.kind == "lstm", network.skip, fast
    made.input_gain, made.output_gain = network.input_gain, network.output_gain
    made.layers = [_recurrent_layer(layer) for layer in recurrent.layers]
    made.head = head.weight.ravel().tolist()
    made.head_bias = 0.0 if head.bias is None else float(head.bias[0])
    return made
