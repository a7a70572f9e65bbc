"""Run a stack of WaveNet layers in fused kernels: `FusedStack`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neural_fx.engines.fused.selection import qualifies, wanted
from neural_fx.networks.knobbed.model import KnobbedModel
from neural_fx.networks.model import CausalConv, Model, State
from neural_fx.networks.wavenet.model import Layer, LayerArray, WaveNetModel


@dataclass(frozen=True)
class Tile:
    """What one program of a kernel computes.

    Attributes:
        block: samples, a power of 2.
        warps: groups of 32 threads.
        most_registers: of a thread; None for the compiler's choice.
    """

    block: int
    warps: int
    most_registers: int | None = None

    def options(self) -> dict[str, Any]:
        """Return the arguments of a kernel."""
        found: dict[str, Any] = {"BLOCK": self.block, "num_warps": self.warps}
        return found if self.most_registers is None else {**found, "maxnreg": self.most_registers}


@dataclass
class Tiles:
    """Tiles by the kind of work.

    Attributes:
        wide: long signals, for layers of more than 8 channels.
        narrow: long signals, for the others, which need fewer registers.
        short: live blocks, which are many and short.
        short_samples: length up to which a signal counts as short.
        least_samples: the shortest signal that runs in the kernels. Live blocks and the silence before them are
            shorter, so that no stream waits for the compiler.
        least_work: the least samples of all streams together.
    """

    wide: Tile = Tile(512, 4)
    narrow: Tile = Tile(512, 4)
    short: Tile = Tile(128, 4)
    short_samples: int = 1024
    least_samples: int = 2048
    least_work: int = 1 << 15

    def suit(self, batch: int, samples: int) -> bool:
        """Return whether signals are long enough for the kernels."""
        return samples >= self.least_samples and batch * samples >= self.least_work

    def choose(self, channels: int, samples: int) -> Tile:
        """Return the tile for a layer and a length."""
        if samples <= self.short_samples:
            return self.short
        return self.wide if channels > 8 else self.narrow


TILES = Tiles()
"""The tiles of all stacks."""


def fuse(model: Model, device: torch.device) -> int:
    """Let the stacks of a model run in fused kernels, as far as they qualify.

    Args:
        model: on `device`. Its weights must not change any more.
        device: a torch device.

    Returns:
        How many stacks do.
    """
    base = model.base if isinstance(model, KnobbedModel) else model
    if not isinstance(base, WaveNetModel) or not wanted(device.type):
        return 0
    found = 0
    for array, spec in zip(base.arrays, base.spec.arrays, strict=True):
        if qualifies(spec):
            array.fused = FusedStack(array)
            found += 1
    if base.condition is not None:
        found += fuse(base.condition, device)
    return found


class FusedStack:
    """The layers of a stack with their weights packed for the kernels.

    If the kernels cannot be compiled or started, it warns once, and torch runs the stack from then on.

    Args:
        array: the stack.
        tiles: what the programs compute.
    """

    def __init__(self, array: LayerArray, tiles: Tiles = TILES) -> None:
        self.tiles = tiles
        self.rechannel, self.head = _FusedConv(array.rechannel), _FusedConv(array.head)
        self.layers = [_FusedLayer(layer) for layer in array.layers]
        self.failed = False

    @torch.no_grad()
    def __call__(
        self, x: Tensor, c: Tensor, accumulated: Tensor | None, state: State, modulation: Tensor | None = None
    ) -> tuple[Tensor, Tensor, State] | None:
        """Run a block, as `neural_fx.networks.wavenet.model.LayerArray` does.

        Args:
            x: (batch, channels, samples), the input of the stack.
            c: (batch, condition channels, samples), the condition.
            accumulated: head of the previous stack. It is not changed.
            state: of the stack before the block.
            modulation: (batch, values), for each layer a scale, less 1, and a shift of all channels before the
                activation; then a scale, less 1, of the head's input. None for no modulation.

        Returns:
            The residual signal, the head and the next state. None if torch should run the stack, because the signal
            is short or the kernels failed.
        """
        if self.failed or not self.tiles.suit(x.shape[0], x.shape[2]):
            return None
        try:
            if x.is_cuda:
                with torch.cuda.device(x.device):
                    return self._run(x, c, accumulated, state, modulation)
            return self._run(x, c, accumulated, state, modulation)
        except Exception as error:  # whatever Triton, its compiler or the driver raise
            self.failed = True
            reason = (str(error) or repr(error)).splitlines()[0]
            warnings.warn(f"fused kernels failed, torch runs the network instead: {reason}", stacklevel=2)
            return None

    def _run(
        self, x: Tensor, c: Tensor, accumulated: Tensor | None, state: State, modulation: Tensor | None
    ) -> tuple[Tensor, Tensor, State]:
        x, c = x.contiguous(), c.contiguous()
        r, after, at = self.rechannel(x, None, self.tiles), [], 0
        total = accumulated
        for layer, past in zip(self.layers, state, strict=False):
            if total is None:
                total = x.new_zeros(x.shape[0], layer.heads, x.shape[2])
            onto = torch.empty_like(total) if total is accumulated else total
            after.append(_next_past(r, past))
            r = layer(r, past, c, total.contiguous(), onto, modulation, at, self.tiles)
            total, at = onto, at + 2 * layer.sums
        assert total is not None
        if modulation is not None:
            total *= 1 + modulation[:, at : at + total.shape[1], None]
        after.append(_next_past(total, state[-1]))
        return r, self.head(total, state[-1], self.tiles), after


class _FusedConv:
    """A convolution by the kernel.

    Args:
        conv: the module.
    """

    def __init__(self, conv: CausalConv) -> None:
        self.dilation, self.shape = conv.dilation, conv.weight.shape
        self.weights = torch.cat([_bias(conv), _flat(conv)])

    def __call__(self, x: Tensor, past: Tensor | None, tiles: Tiles) -> Tensor:
        """Convolve x (batch, in, samples), which continues `past`. None stands for no taps in the past."""
        from neural_fx.engines.fused import kernels

        outputs, inputs, taps = self.shape
        batch, _, samples = x.shape
        y = x.new_empty(batch, outputs, samples)
        tile = tiles.choose(max(inputs, outputs), samples)
        kernels.convolution[_grid(samples, batch, tile)](
            x,
            x if past is None else past.contiguous(),
            y,
            self.weights,
            samples,
            self.dilation,
            INPUTS=inputs,
            OUTPUTS=outputs,
            TAPS=taps,
            PAIRS=outputs % 2 == 0,
            **tile.options(),
        )
        return y


class _FusedLayer:
    """A layer by the kernel.

    Args:
        layer: the module.
    """

    def __init__(self, layer: Layer) -> None:
        self.dilation = layer.conv.dilation
        self.sums, self.channels, self.taps = layer.conv.weight.shape
        self.width = self.sums if layer.gating == "none" else self.sums // 2
        self.heads = layer.head.out_channels if layer.head else self.width
        self.conditions = layer.mixin.in_channels
        # The bias of the mix-in joins that of the convolution.
        parts = [_bias(layer.conv) + _bias(layer.mixin), _flat(layer.conv), _flat(layer.mixin)]
        for conv in (layer.residual, layer.head):
            parts += [_bias(conv), _flat(conv)] if conv else []
        self.weights = torch.cat(parts)
        self.constants: dict[str, Any] = {
            "CHANNELS": self.channels,
            "CONDITIONS": self.conditions,
            "WIDTH": self.width,
            "HEADS": self.heads,
            "TAPS": self.taps,
            "ACTIVATION": layer.spec.activation.name,
            "GATING": layer.gating,
            "GATE": "linear" if layer.gating == "none" else layer.spec.secondary.name,
            "RESIDUAL": layer.residual is not None,
            "HEAD_CONV": layer.head is not None,
            # Two weights in one load must not cross the end of a row.
            "PAIRS": all(count % 2 == 0 for count in (self.sums, self.channels, self.heads)),
        }
        self.slopes = [
            float(activation.params.get("negative_slope", 0.01))
            for activation in (layer.spec.activation, layer.spec.secondary)
        ]

    def __call__(
        self,
        r: Tensor,
        past: Tensor,
        c: Tensor,
        total: Tensor,
        onto: Tensor,
        modulation: Tensor | None,
        at: int,
        tiles: Tiles,
    ) -> Tensor:
        """Run the layer, and return the residual signal for the next one.

        Args:
            r: (batch, channels, samples), the residual signal.
            past: (batch, channels, history), the residual signal before the block.
            c: (batch, conditions, samples).
            total: (batch, heads, samples), sum of the head terms so far.
            onto: of the same shape, where the new sum is written. It may be `total`.
            modulation: (batch, values), or None.
            at: first of its values that belong to this layer.
            tiles: what the programs compute.
        """
        from neural_fx.engines.fused import kernels

        batch, _, samples = r.shape
        tile = tiles.choose(self.channels, samples)
        after = torch.empty_like(r) if self.constants["RESIDUAL"] else r
        kernels.layer[_grid(samples, batch, tile)](
            r,
            past.contiguous() if self.taps > 1 else r,
            c,
            total,
            after,
            onto,
            self.weights,
            r if modulation is None else modulation[:, at:],
            samples,
            self.dilation,
            0 if modulation is None else modulation.stride(0),
            *self.slopes,
            MODULATED=modulation is not None,
            **self.constants,
            **tile.options(),
        )
        return after


def _grid(samples: int, batch: int, tile: Tile) -> tuple[int, int]:
    return -(-samples // tile.block), batch


def _next_past(x: Tensor, past: Tensor) -> Tensor:
    """Return the past of the next block, without the memory of the whole block."""
    samples, history = x.shape[2], past.shape[2]
    if history == 0:
        return past
    if samples >= history:
        return x[:, :, samples - history :].clone()
    return torch.cat((past[:, :, samples:], x), 2)


def _bias(conv: CausalConv) -> Tensor:
    return conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()


def _flat(conv: CausalConv) -> Tensor:
    """Return the weights in the order tap, input, output."""
    return conv.weight.detach().permute(2, 1, 0).reshape(-1)
