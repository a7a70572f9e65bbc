"""Measure how well distributions predict samples, in bits per sample."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from neural_fx.networks.autoregressive.sampling import LEAST_LOG_SCALE, STEP


def class_bits(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the bits of every sample, (batch, samples).

    Args:
        logits: (batch, samples, levels).
        classes: (batch, samples), int64.
    """
    nats = F.cross_entropy(logits.float().flatten(0, 1), classes.flatten(), reduction="none")
    return nats.view_as(classes) / math.log(2)


def logistic_bits(parameters: Tensor, samples: Tensor) -> Tensor:
    """Return the bits of every sample of a discretised mixture of logistics (PixelCNN++, arXiv 1701.05517).

    The samples are on a grid of 65,536 levels. The outermost levels have the rest of each logistic.

    Args:
        parameters: (batch, samples, 3 * mixtures): logits, means and logarithms of the scales.
        samples: (batch, samples), from -1 to 1.
    """
    logits, means, log_scales = parameters.double().chunk(3, dim=-1)
    inverse = torch.exp(-log_scales.clamp(min=LEAST_LOG_SCALE))
    x = samples.double()[..., None]
    above, below = inverse * (x - means + STEP / 2), inverse * (x - means - STEP / 2)
    # log(sigmoid(above) - sigmoid(below)), without the difference of two numbers that are nearly equal.
    inner = F.logsigmoid(above) + F.logsigmoid(-below) + torch.log(-torch.expm1(below - above))
    lowest = x < -1 + STEP / 2
    highest = x > 1 - STEP / 2
    each = torch.where(lowest, F.logsigmoid(above), torch.where(highest, F.logsigmoid(-below), inner))
    total = torch.logsumexp(F.log_softmax(logits, dim=-1) + each, dim=-1)
    return -total / math.log(2)
