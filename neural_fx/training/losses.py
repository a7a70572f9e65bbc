"""Compute error-to-signal ratios of tensors.

ESR and the pre-emphasis filter are those of Wright et al., "Real-time guitar amplifier emulation with deep
learning" (Applied Sciences 2020) and Damskägg et al. (SMC 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


def esr(target: Tensor, output: Tensor) -> Tensor:
    """Return the energy of the error over the energy of the target. 0 is perfect, and silence has 1.

    Args:
        target, output: tensors of equal shape.

    Returns:
        A scalar.

    >>> import torch
    >>> float(esr(torch.ones(4), torch.full((4,), 0.5)))
    0.25
    """
    return (target - output).square().sum() / target.square().sum().clamp_min(1e-12)


def pre_emphasis(x: Tensor, coefficient: float = 0.85) -> Tensor:
    """Apply the high-pass ``x[n] - coefficient * x[n - 1]`` over the last dimension.

    Args:
        x: (..., samples).
        coefficient: of the previous sample.

    Returns:
        (..., samples - 1).

    >>> import torch
    >>> pre_emphasis(torch.ones(3), 0.5)
    tensor([0.5000, 0.5000])
    """
    return x[..., 1:] - coefficient * x[..., :-1]


@dataclass(frozen=True)
class Loss:
    """Weighted sum of errors, each a fraction of its signal's energy.

    Attributes:
        emphasized: weight of the ESR after `pre_emphasis`.
        plain: weight of the plain ESR.
        dc: weight of the squared error of the mean.
        stft: weight of the multi-resolution STFT loss (auraloss; Steinmetz and Reiss 2020); 0 leaves it out.
    """

    emphasized: float = 1.0
    plain: float = 0.1
    dc: float = 0.1
    stft: float = 0.0

    def __call__(self, target: Tensor, output: Tensor, energy: Tensor) -> Tensor:
        """Return the loss of a batch of windows.

        The error of a window is divided by the energy of its whole recording. So quiet windows count little, and all
        recordings count the same.

        Args:
            target, output: (batch, samples).
            energy: mean square of the whole recording of each window, (batch,).

        Returns:
            A scalar.
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
