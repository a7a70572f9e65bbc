"""What the training loops share: checkpoints that are data, and the course of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from neural_fx.files import replacing

Weights = Mapping[str, Tensor]


def write_checkpoint(
    path: Path, model: Weights, best: Weights, optimizer: torch.optim.Optimizer, progress: Sequence[float]
) -> None:
    """Write a checkpoint (safetensors: numbers only, nothing that could run).

    Args:
        model, best: the weights as they stand, and the best so far.
        progress: step, seconds, lowest loss.
    """
    from safetensors.torch import save_file

    tensors = {f"model.{k}": v for k, v in model.items()}
    tensors |= {f"best.{k}": v for k, v in best.items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
    tensors["progress"] = torch.tensor(progress, dtype=torch.float64)
    with replacing(path) as part:
        save_file({k: v.cpu().contiguous() for k, v in tensors.items()}, part)


def read_checkpoint(
    path: Path,
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[int, dict[str, Tensor]], tuple[int, float, float]]:
    """The weights, the best weights, the optimizer's states, and (step, seconds, lowest loss) of a checkpoint.

    Raises whatever safetensors raises for a damaged file, or KeyError or ValueError for another one.
    """
    from safetensors.torch import load_file

    tensors = load_file(path)
    step, elapsed, lowest = tensors.pop("progress").tolist()
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "adam": {}}
    for key, value in tensors.items():
        kind, name = key.split(".", 1)
        parts[kind][name] = value
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in parts["adam"].items():
        index, name = key.split(".", 1)
        states.setdefault(int(index), {})[name] = value
    return parts["model"], parts["best"], states, (int(step), elapsed, lowest)


def set_rate(optimizer: torch.optim.Optimizer, peak: float, step: int, warm_up: int, fraction: float) -> None:
    """The learning rate: up in `warm_up` steps, then down as a cosine to a hundredth over the training's `fraction`."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
    for group in optimizer.param_groups:
        group["lr"] = peak * min(1.0, (step + 1) / warm_up) * (0.01 + 0.99 * cosine)
