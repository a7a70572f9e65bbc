"""Error-to-signal ratios, as functions of tensors.

ESR and the pre-emphasis filter are those of Wright et al., "Real-time guitar amplifier emulation with deep
learning" (Applied Sciences 2020) and Damskägg et al. (SMC 2019).
"""

from __future__ import annotations

from torch import Tensor


def esr(target: Tensor, output: Tensor) -> Tensor:
    """Energy of the error over energy of the target; 0 is perfect, 1 is silence.

    Args:
        target, output: any equal shapes.

    Returns:
        a scalar.

    >>> import torch
    >>> float(esr(torch.ones(4), torch.full((4,), 0.5)))
    0.25
    """
    return (target - output).square().sum() / target.square().sum().clamp_min(1e-12)


def pre_emphasis(x: Tensor, coefficient: float = 0.85) -> Tensor:
    """High-pass ``x[n] - coefficient * x[n - 1]`` over the last dimension; one sample shorter.

    >>> import torch
    >>> pre_emphasis(torch.ones(3), 0.5)
    tensor([0.5000, 0.5000])
    """
    return x[..., 1:] - coefficient * x[..., :-1]
