"""Error-to-signal ratios, as functions of tensors.

ESR and the pre-emphasis filter are those of Wright et al., "Real-time guitar amplifier emulation with deep
learning" (Applied Sciences 2020) and Damskägg et al. (SMC 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Loss:
    """A weighted sum of errors, each a fraction of its signal's energy.

    Attributes:
        emphasized: weight of the ESR after `pre_emphasis`.
        plain: weight of the ESR as it is.
        dc: weight of the squared error of the mean.
        stft: weight of the multi-resolution STFT loss (auraloss; Steinmetz and Reiss 2020), 0 for none.
    """

    emphasized: float = 1.0
    plain: float = 0.1
    dc: float = 0.1
    stft: float = 0.0

    def __call__(self, target: Tensor, output: Tensor, energy: Tensor) -> Tensor:
        """(batch, samples) twice, and (batch,) mean squares that the targets' errors are fractions of -> a scalar.

        A window's error is measured against the energy of the whole recording it comes from, so that quiet windows
        count little and every recording counts the same.
        """
        error = output - target
        emphasis = pre_emphasis(target).square().mean() / target.square().mean().clamp_min(1e-12)
        sharp = pre_emphasis(error).square().mean(1) / emphasis.clamp_min(1e-3)
        parts = self.emphasized * sharp + self.plain * error.square().mean(1) + self.dc * error.mean(1).square()
        total: Tensor = (parts / energy).mean()
        if self.stft:
            total = total + self.stft * _stft(target, output)
        return total


def _stft(target: Tensor, output: Tensor) -> Tensor:
    from auraloss.freq import MultiResolutionSTFTLoss  # type: ignore[import-not-found, import-untyped, unused-ignore]

    loss: Tensor = MultiResolutionSTFTLoss()(output[:, None], target[:, None])
    return loss
