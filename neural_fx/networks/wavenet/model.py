"""Run WaveNets for effects: stacks of dilated causal convolutions that all read a condition.

The architecture is that of van den Oord et al. 2016, and as a distortion pedal that of Damskägg et al., SMC 2019. It
has every feature of Neural Amp Modeler's `.nam` files 0.5 to 0.7: gating, bottleneck, groups, FiLM, head convolutions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from neural_fx.networks.model import CausalConv, Model, Modules, State, add
from neural_fx.networks.nonlinearity import Nonlinearity
from neural_fx.networks.parts import Activation, Conv
from neural_fx.networks.wavenet import description as spec


class Film(nn.Module):
    """Feature-wise linear modulation (Perez 2018): a scale and an optional shift, linear in the condition.

    Args:
        film: the description.
    """

    def __init__(self, film: spec.Film) -> None:
        super().__init__()
        self.conv, self.shift = CausalConv(film.conv), film.shift

    def forward(self, value: Tensor, c: Tensor) -> Tensor:
        """Modulate `value` (batch, channels, samples) by the condition `c` of the same length."""
        modulation = self.conv.convolve(c)
        if not self.shift:
            return value * modulation
        scale, shift = modulation.chunk(2, 1)
        return value * scale + shift


class Layer(nn.Module):
    """One dilated layer.

    From the residual signal r and the condition c it computes ``z = conv(r) + mixin(c)``. The halves of z are ``top``
    and ``bottom``. The activated signal a depends on the gating:

    - none: ``a = act(z)``;
    - gated: ``a = act(top) * gate(bottom)``;
    - blended: ``a = s * act(top) + (1 - s) * top`` with ``s = gate(bottom)``.

    ``a`` goes to the head, and ``r + residual(a)`` to the next layer.

    Args:
        layer: the description.
    """

    def __init__(self, layer: spec.Layer) -> None:
        super().__init__()
        self.conv, self.mixin = CausalConv(layer.conv), CausalConv(layer.mixin)
        self.residual = CausalConv(layer.residual) if layer.residual else None
        self.head = CausalConv(layer.head) if layer.head else None
        self.activation, self.secondary = Nonlinearity(layer.activation), Nonlinearity(layer.secondary)
        self.gating, self.spec = layer.gating, layer
        films = {site: Film(film) for site, film in layer.films.items()}
        self.films = cast("dict[str, Film]", nn.ModuleDict(films))

    def describe(self) -> spec.Layer:
        """Return the description with the current weights."""
        return replace(
            self.spec,
            conv=self.conv.describe(),
            mixin=self.mixin.describe(),
            residual=self.residual.describe() if self.residual else None,
            head=self.head.describe() if self.head else None,
            films={site: spec.Film(film.conv.describe(), film.shift) for site, film in self.films.items()},
        )

    def film(self, site: str, value: Tensor, c: Tensor) -> Tensor:
        """Modulate a signal if the layer has a FiLM at a site, else return it unchanged.

        Args:
            site: one of `FILM_SITES`.
            value: (batch, channels, samples).
            c: (batch, condition channels, samples).
        """
        if site not in self.films:
            return value
        modulated: Tensor = self.films[site](value, c)
        return modulated

    def activate(self, z: Tensor) -> Tensor:
        """Apply the activation and the gating."""
        if self.gating == "none":
            return self.activation.forward(z)
        top, bottom = z.chunk(2, 1)
        shaped, gate = self.activation.forward(top), self.secondary.forward(bottom)
        if self.gating == "gated":
            return shaped * gate
        return gate * shaped + (1 - gate) * top

    def forward(self, r: Tensor, c: Tensor, past: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run a block.

        Args:
            r: (batch, channels, samples), the residual signal.
            c: (batch, condition channels, samples), the condition.
            past: (batch, channels, history), the residual signal before the block.

        Returns:
            The residual signal for the next layer, the term for the head, and the new past.
        """
        z, past = self.conv(self.film("conv_pre_film", r, c), past)
        z = self.film("conv_post_film", z, c)
        seen = self.film("input_mixin_pre_film", c, c)
        if "input_mixin_post_film" in self.films:
            z = add(z, self.films["input_mixin_post_film"](self.mixin.convolve(seen), c))
        else:
            z = self.mixin.convolve(seen, onto=z)
        z = self.film("activation_pre_film", z, c)
        r, head = self.rest(r, self.film("activation_post_film", self.activate(z), c), c)
        return r, head, past

    def rest(self, r: Tensor, a: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Run what follows the activation.

        Args:
            r: (batch, channels, samples), the residual signal.
            a: (batch, bottleneck, samples), the activated signal.
            c: (batch, condition channels, samples), the condition.

        Returns:
            The residual signal for the next layer, and the term for the head.
        """
        if self.residual is not None:
            if "layer1x1_post_film" in self.films:
                r = add(r, self.films["layer1x1_post_film"](self.residual.convolve(a), c))
            else:
                r = self.residual.convolve(a, onto=r)
        head = a if self.head is None else self.film("head1x1_post_film", self.head.convolve(a), c)
        return r, head


class FusedLayers(Protocol):
    """A faster way to run a `LayerArray` with its state, without gradients: see `neural_fx.engines.fused`."""

    def __call__(
        self, x: Tensor, c: Tensor, accumulated: Tensor | None, state: State, modulation: Tensor | None = None
    ) -> tuple[Tensor, Tensor, State] | None:
        """Run a block like `LayerArray.forward`. Return None if that is not possible.

        Args:
            x: input of the stack.
            c: the condition.
            accumulated: head of the previous stack.
            state: of the stack before the block.
            modulation: (batch, values), modulation of a `Knobbed` network that rests, from this stack on.
        """


class LayerArray(nn.Module):
    """A stack of layers. Its head convolution runs over the sum of their head terms.

    Args:
        array: the description.

    Attributes:
        fused: a faster way to run it without gradients, if there is one.
    """

    fused: FusedLayers | None = None

    def __init__(self, array: spec.LayerArray) -> None:
        super().__init__()
        self.rechannel, self.head = CausalConv(array.rechannel), CausalConv(array.head)
        self.layers: Modules[Layer] = Modules(Layer(layer) for layer in array.layers)

    def describe(self) -> spec.LayerArray:
        """Return the description with the current weights."""
        layers = tuple(layer.describe() for layer in self.layers)
        return spec.LayerArray(self.rechannel.describe(), layers, self.head.describe())

    def initial_state(self, batch: int) -> State:
        """Return the past of every layer's convolution, then that of the head."""
        return [layer.conv.initial_state(batch) for layer in self.layers] + [self.head.initial_state(batch)]

    def forward(self, x: Tensor, c: Tensor, accumulated: Tensor | None, state: State) -> tuple[Tensor, Tensor, State]:
        """Run a block.

        Args:
            x: (batch, channels, samples), the input of the first stack or the residual signal of the previous one.
            c: (batch, condition channels, samples), the condition.
            accumulated: head of the previous stack, which the head terms are added to; None for the first stack.
            state: from `initial_state` or from the previous call.

        Returns:
            The residual signal, the head, and the next state.
        """
        if self.fused is not None and not torch.is_grad_enabled():
            found = self.fused(x, c, accumulated, state)
            if found is not None:
                return found
        r, after = self.rechannel.convolve(x), []
        for layer, past in zip(self.layers, state, strict=False):
            r, term, past = layer(r, c, past)
            accumulated = add(accumulated, term)
            after.append(past)
        head, past = self.head(accumulated, state[-1])
        return r, head, [*after, past]


class PostStage(nn.Module):
    """One stage after the scaled head: an activation, then a convolution.

    Args:
        activation: its description.
        conv: its description.
    """

    def __init__(self, activation: Activation, conv: Conv) -> None:
        super().__init__()
        self.spec = activation
        self.activation, self.conv = Nonlinearity(activation), CausalConv(conv)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Run a block, and return the output with the past for the next block."""
        return self.conv.forward(self.activation(x), past)


class WaveNetModel(Model):
    """A `WaveNet` description as a module.

    Args:
        network: the description.
        condition: the model that computes the condition from the input. If None, the input is the condition.
    """

    def __init__(self, network: spec.WaveNet, condition: Model | None = None) -> None:
        super().__init__()
        self.in_channels, self.out_channels = network.in_channels, network.out_channels
        self.arrays: Modules[LayerArray] = Modules(LayerArray(array) for array in network.arrays)
        self.head_scale = nn.Parameter(torch.tensor(network.head_scale), requires_grad=False)
        self.post: Modules[PostStage] = Modules(PostStage(act, conv) for act, conv in network.post_head)
        self.condition, self.spec = condition, network

    def describe(self) -> spec.WaveNet:
        """Return the description with the current weights, and the condition model's original ones."""
        return replace(
            self.spec,
            arrays=tuple(array.describe() for array in self.arrays),
            head_scale=float(self.head_scale),
            post_head=tuple((stage.spec, stage.conv.describe()) for stage in self.post),
        )

    def initial_state(self, batch: int) -> State:
        state = self.condition.initial_state(batch) if self.condition else []
        for array in self.arrays:
            state = state + array.initial_state(batch)
        return state + [stage.conv.initial_state(batch) for stage in self.post]

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        after: State = []
        c = x
        if self.condition is not None:
            own = len(self.condition.initial_state(1))
            c, after = self.condition(x, state[:own])
        r: Tensor = x
        head: Tensor | None = None
        for array in self.arrays:
            own = len(array.layers) + 1
            r, head, part = array(r, c, head, state[len(after) : len(after) + own])
            after = after + part
        assert head is not None
        y = head * self.head_scale
        for stage in self.post:
            y, past = stage(y, state[len(after)])
            after = [*after, past]
        return y, after
