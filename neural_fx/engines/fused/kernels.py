"""Triton kernels: a convolution, and a whole layer of a WaveNet in one pass.

Each thread computes all channels of a few samples in registers, with plain float32 multiply-adds: for 8 or 16 channels
that is faster than to fill the tiles of matrix products, and it rounds like a convolution. The weights are the same for
all threads, so they come from the cache, two per load.

The weights of a kernel are one flat array, in the order in which the kernel reads them; `neural_fx.engines.fused.stack`
packs them.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _tanh(x):
    """Compute tanh to about 1 ulp: an odd polynomial near 0, where the other form would cancel, else by exp2."""
    size = tl.abs(x)
    # 2.8853901 = 2 / ln 2. Beyond 10, tanh is 1 in float32.
    far = 1.0 - 2.0 / (tl.exp2(2.8853900817779268 * tl.minimum(size, 10.0)) + 1.0)
    square = size * size
    near = -0.006282477875 * square + 0.021077761907
    near = near * square - 0.053853858911
    near = near * square + 0.133326016964
    near = near * square - 0.333333180461
    near = near * square * size + size
    magnitude = tl.where(size < 0.55, near, far)
    return tl.where(x < 0.0, -magnitude, magnitude)


@triton.jit
def _activate(x, SLOPE, KIND: tl.constexpr):
    if KIND == "tanh":
        return _tanh(x)
    elif KIND == "sigmoid":
        return 1.0 / (1.0 + tl.exp2(-1.4426950408889634 * x))
    elif KIND == "relu":
        return tl.maximum(x, 0.0)
    elif KIND == "leaky_relu":
        return tl.where(x < 0.0, x * SLOPE, x)
    else:
        tl.static_assert(KIND == "linear")
        return x


@triton.jit
def _read(weights, at, COUNT: tl.constexpr, PAIRS: tl.constexpr):
    """Return COUNT weights as scalars."""
    values = ()
    if PAIRS:
        pairs = (weights + at).to(tl.pointer_type(tl.int64))
        for k in tl.static_range(COUNT // 2):
            pair = tl.load(pairs + k)
            values = values + (pair.to(tl.int32).to(tl.float32, bitcast=True),)
            values = values + ((pair >> 32).to(tl.int32).to(tl.float32, bitcast=True),)
    else:
        for k in tl.static_range(COUNT):
            values = values + (tl.load(weights + at + k),)
    return values


@triton.jit
def _accumulate(total, x, row, COUNT: tl.constexpr):
    """Return `total` plus the products of a signal with a row of weights, one per output channel."""
    after = ()
    for k in tl.static_range(COUNT):
        after = after + (total[k] + x * row[k],)
    return after


@triton.jit
def _convolve(
    z, x, past, weights, at, t, samples, dilation,
    INPUTS: tl.constexpr, OUTPUTS: tl.constexpr, TAPS: tl.constexpr, PAIRS: tl.constexpr,
):  # fmt: skip
    """Return `z` plus a causal convolution of `x`, which continues `past`. Weights are in the order tap, in, out."""
    history = (TAPS - 1) * dilation
    for tap in range(TAPS):
        source = t - (TAPS - 1 - tap) * dilation
        here = (source >= 0) & (t < samples)
        before = (source < 0) & (t < samples)
        for i in tl.range(INPUTS, loop_unroll_factor=2 if INPUTS % 2 == 0 else 1):
            old = tl.load(past + i * history + history + source, mask=before, other=0.0)
            value = tl.load(x + i * samples + source, mask=here, other=old)
            row = _read(weights, at + (tap * INPUTS + i) * OUTPUTS, OUTPUTS, PAIRS)
            z = _accumulate(z, value, row, OUTPUTS)
    return z


@triton.jit(do_not_specialize=["samples", "dilation"], do_not_specialize_on_alignment=["x", "past"])
def convolution(
    x, past, y, weights, samples, dilation,
    INPUTS: tl.constexpr, OUTPUTS: tl.constexpr, TAPS: tl.constexpr, PAIRS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Convolve. The weights are the bias (outputs), then the taps."""
    t = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    item = tl.program_id(1).to(tl.int64)
    x += item * INPUTS * samples
    past += item * INPUTS * (TAPS - 1) * dilation
    y += item * OUTPUTS * samples
    bias = _read(weights, 0, OUTPUTS, PAIRS)
    z = ()
    for o in tl.static_range(OUTPUTS):
        z = z + (tl.zeros((BLOCK,), tl.float32) + bias[o],)
    z = _convolve(z, x, past, weights, OUTPUTS, t, samples, dilation, INPUTS, OUTPUTS, TAPS, PAIRS)
    for o in tl.static_range(OUTPUTS):
        tl.store(y + o * samples + t, z[o], mask=t < samples)


@triton.jit(
    do_not_specialize=["samples", "dilation", "modulation_stride", "slope", "gate_slope"],
    do_not_specialize_on_alignment=["past", "c", "modulation"],
)
def layer(
    r, past, c, head_before, r_after, head_after, weights, modulation,
    samples, dilation, modulation_stride, slope, gate_slope,
    CHANNELS: tl.constexpr, CONDITIONS: tl.constexpr, WIDTH: tl.constexpr, HEADS: tl.constexpr, TAPS: tl.constexpr,
    ACTIVATION: tl.constexpr, GATING: tl.constexpr, GATE: tl.constexpr,
    RESIDUAL: tl.constexpr, HEAD_CONV: tl.constexpr, MODULATED: tl.constexpr,
    PAIRS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Run a layer: see `neural_fx.networks.wavenet.model.Layer`.

    The weights are: bias of the sum (z), convolution (tap, in, z), mix-in (condition, z); then, if there are any, those
    of the residual: bias, matrix (in, out), and those of the head. WIDTH channels leave the activation. The modulation
    is a scale, less 1, and a shift per channel of z.
    """
    Z: tl.constexpr = WIDTH if GATING == "none" else 2 * WIDTH
    t = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = t < samples
    item = tl.program_id(1).to(tl.int64)
    r += item * CHANNELS * samples
    past += item * CHANNELS * (TAPS - 1) * dilation
    c += item * CONDITIONS * samples
    head_before += item * HEADS * samples
    r_after += item * CHANNELS * samples
    head_after += item * HEADS * samples

    bias = _read(weights, 0, Z, PAIRS)
    z = ()
    for o in tl.static_range(Z):
        z = z + (tl.zeros((BLOCK,), tl.float32) + bias[o],)
    z = _convolve(z, r, past, weights, Z, t, samples, dilation, CHANNELS, Z, TAPS, PAIRS)
    MIXIN: tl.constexpr = Z + TAPS * CHANNELS * Z
    for i in tl.static_range(CONDITIONS):
        value = tl.load(c + i * samples + t, mask=live, other=0.0)
        z = _accumulate(z, value, _read(weights, MIXIN + i * Z, Z, PAIRS), Z)
    if MODULATED:
        values = modulation + item * modulation_stride
        moved = ()
        for o in tl.static_range(Z):
            moved = moved + (z[o] * (1.0 + tl.load(values + o)) + tl.load(values + Z + o),)
        z = moved

    a = ()
    for o in tl.static_range(WIDTH):
        shaped = _activate(z[o], slope, ACTIVATION)
        if GATING == "gated":
            shaped = shaped * _activate(z[WIDTH + o], gate_slope, GATE)
        elif GATING == "blended":
            gate = _activate(z[WIDTH + o], gate_slope, GATE)
            shaped = gate * shaped + (1.0 - gate) * z[o]
        a = a + (shaped,)

    REST: tl.constexpr = MIXIN + CONDITIONS * Z
    AFTER_RESIDUAL: tl.constexpr = REST + (CHANNELS + WIDTH * CHANNELS if RESIDUAL else 0)
    term = a
    if HEAD_CONV:
        head_bias = _read(weights, AFTER_RESIDUAL, HEADS, PAIRS)
        term = ()
        for o in tl.static_range(HEADS):
            term = term + (tl.zeros((BLOCK,), tl.float32) + head_bias[o],)
        for i in tl.static_range(WIDTH):
            row = _read(weights, AFTER_RESIDUAL + HEADS + i * HEADS, HEADS, PAIRS)
            term = _accumulate(term, a[i], row, HEADS)
    for o in tl.static_range(HEADS):
        before = tl.load(head_before + o * samples + t, mask=live, other=0.0)
        tl.store(head_after + o * samples + t, before + term[o], mask=live)

    if RESIDUAL:
        residual_bias = _read(weights, REST, CHANNELS, PAIRS)
        y = ()
        for o in tl.static_range(CHANNELS):
            y = y + (tl.load(r + o * samples + t, mask=live, other=0.0) + residual_bias[o],)
        for i in tl.static_range(WIDTH):
            y = _accumulate(y, a[i], _read(weights, REST + CHANNELS + i * CHANNELS, CHANNELS, PAIRS), CHANNELS)
        for o in tl.static_range(CHANNELS):
            tl.store(r_after + o * samples + t, y[o], mask=live)
