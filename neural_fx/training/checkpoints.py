"""What the training loops share: checkpoints that are data, what they belong to, and the learning rate."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neural_fx.errors import TrainingError
from neural_fx.files import replacing
from neural_fx.training.course import Course

Weights = Mapping[str, Tensor]
About = Mapping[str, Any]
"""What a training is of, ready for JSON; see `check_about`."""

KEEPS_ITS_OWN = "it goes on with its own"
TAKES_THE_NEW = "it goes on with the new one"

_HEADER = "neural-fx-training"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training.

    Attributes:
        model, best: the weights as they stand, and the best so far.
        adam: the optimiser's state by number of the parameter.
        course: steps and time spent, and the errors on the way.
        lowest: the best weights' error.
        about: what the training is of; empty in files of older versions.
    """

    model: Weights
    best: Weights
    adam: Mapping[int, Mapping[str, Any]]
    course: Course
    lowest: float
    about: About = field(default_factory=dict)


def write_checkpoint(path: Path, state: Checkpoint) -> None:
    """Write a checkpoint (safetensors: numbers and text, nothing that could run), whole or not at all.

    Raises:
        OSError: it cannot be written; what was there before stays.
    """
    from safetensors.torch import save

    tensors = {f"model.{k}": v for k, v in state.model.items()}
    tensors |= {f"best.{k}": v for k, v in state.best.items()}
    for i, moments in state.adam.items():
        tensors |= {f"adam.{i}.{k}": torch.as_tensor(v) for k, v in moments.items()}
    course = state.course
    tensors["progress"] = torch.tensor((course.steps, course.seconds, state.lowest), dtype=torch.float64)
    tensors["course"] = torch.tensor(course.points, dtype=torch.float64).reshape(-1, 3)
    header = {_HEADER: json.dumps(state.about, sort_keys=True)}
    data = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, header)
    with replacing(path) as part:
        part.write_bytes(data)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        Exception: whatever safetensors raises for a damaged file, or KeyError or ValueError for another one.
    """
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        header = (file.metadata() or {}).get(_HEADER, "{}")
        tensors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    steps, seconds, lowest = tensors.pop("progress").tolist()
    points = tensors.pop("course", torch.zeros(0, 3)).tolist()
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "adam": {}}
    for key, value in tensors.items():
        kind, name = key.split(".", 1)
        parts[kind][name] = value
    adam: dict[int, dict[str, Tensor]] = {}
    for key, value in parts["adam"].items():
        index, name = key.split(".", 1)
        adam.setdefault(int(index), {})[name] = value
    about = json.loads(header)
    if not isinstance(about, dict) or not 0 <= seconds < math.inf or steps < 0:
        raise ValueError("its description or its progress is damaged")
    course = Course(int(steps), seconds, [(int(step), at, error) for step, at, error in points])
    return Checkpoint(parts["model"], parts["best"], adam, course, lowest, about)


def check_about(path: Path, saved: About, own: About, may_differ: Mapping[str, str]) -> list[str]:
    """Compare what a checkpoint is of with the training that is to go on from it.

    Args:
        path: of the checkpoint.
        saved: what the checkpoint says; nothing if an older version wrote it.
        own: what the training says.
        may_differ: the entries that are only worth a remark, with what happens then.

    Returns:
        Remarks, each a sentence.

    Raises:
        TrainingError: they differ in anything else.
    """
    if not saved:
        return [f"{path}: was written by an older version, so it cannot be checked that it is of the same recordings"]
    differing = [key for key in own if saved.get(key) != own[key]]
    remarked = [key for key in may_differ if key in differing]
    refused = [key for key in differing if key not in remarked]
    if refused:
        raise TrainingError(
            f"{path}: is the checkpoint of another training: it differs in {', '.join(refused)}; "
            "repeat the command that was interrupted, or say --overwrite instead of --resume to start anew"
        )
    return [f"{path}: was started with {key} {saved.get(key)}, not {own[key]}; {may_differ[key]}" for key in remarked]


def fingerprint(arrays: Iterable[NDArray[Any]]) -> str:
    """Return a hash of some arrays."""
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def set_rate(optimizer: torch.optim.Optimizer, peak: float, step: int, warm_up: int, fraction: float) -> None:
    """Set the learning rate: up in a straight line, then down as a cosine to a hundredth of the peak.

    Args:
        optimizer: whose rate is set.
        peak: the highest rate.
        step: number of the step that comes next.
        warm_up: steps in which the rate rises.
        fraction: how much of the training is done, 0 to 1.
    """
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
    for group in optimizer.param_groups:
        group["lr"] = peak * min(1.0, (step + 1) / warm_up) * (0.01 + 0.99 * cosine)
