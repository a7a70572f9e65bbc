"""Code that the training loops share: checkpoints, the check that a checkpoint fits, and the learning rate."""

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
"""Description of a training as JSON values: recordings, architecture and settings; see `check_about`."""

KEEPS_ITS_OWN = "continuing with the checkpoint's value"
TAKES_THE_NEW = "continuing with the new value"

_HEADER = "neural-fx-training"


@dataclass(frozen=True)
class Checkpoint:
    """State of a training.

    Attributes:
        model, best: the current weights, and the best so far.
        adam: the optimiser's state by parameter number.
        course: steps, time and validation errors so far.
        lowest: error of the best weights.
        about: description of the training; empty in files of older versions.
    """

    model: Weights
    best: Weights
    adam: Mapping[int, Mapping[str, Any]]
    course: Course
    lowest: float
    about: About = field(default_factory=dict)


def write_checkpoint(path: Path, state: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all.

    The format is safetensors, which holds numbers and text but no code.

    Args:
        path: the file to write.
        state: the state of the training.

    Raises:
        OSError: the file cannot be written. An older file stays as it is.
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

    Args:
        path: the file to read.

    Raises:
        Exception: an error of safetensors if the file is damaged; KeyError or ValueError if it is not a checkpoint.
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
        raise ValueError("the description or the progress is damaged")
    course = Course(int(steps), seconds, [(int(step), at, error) for step, at, error in points])
    return Checkpoint(parts["model"], parts["best"], adam, course, lowest, about)


def check_about(path: Path, saved: About, own: About, may_differ: Mapping[str, str]) -> list[str]:
    """Check that a checkpoint belongs to the training that is to continue from it.

    Args:
        path: file of the checkpoint, for messages.
        saved: description in the checkpoint; empty if an older version wrote it.
        own: description of the training.
        may_differ: entries that may differ, with a phrase that says which of the two values is used.

    Returns:
        A sentence for each entry of `may_differ` that differs.

    Raises:
        TrainingError: another entry differs.
    """
    if not saved:
        return [f"{path}: was written by an older version; cannot check that it is of the same recordings"]
    differing = [key for key in own if saved.get(key) != own[key]]
    remarked = [key for key in may_differ if key in differing]
    refused = [key for key in differing if key not in remarked]
    if refused:
        raise TrainingError(
            f"{path}: is the checkpoint of another training: it differs in {', '.join(refused)}; "
            "repeat the interrupted command, or use --overwrite instead of --resume to start again"
        )
    return [f"{path}: was started with {key} {saved.get(key)}, not {own[key]}; {may_differ[key]}" for key in remarked]


def fingerprint(arrays: Iterable[NDArray[Any]]) -> str:
    """Return a hash of the dtypes, shapes and values of arrays."""
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def set_rate(optimizer: torch.optim.Optimizer, peak: float, step: int, warm_up: int, fraction: float) -> None:
    """Set the learning rate for the next step: a linear rise, then a cosine down to a hundredth of the peak.

    Args:
        optimizer: the optimiser.
        peak: highest learning rate.
        step: number of the next step.
        warm_up: steps during which the rate rises.
        fraction: share of the training that is done, 0 to 1.
    """
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
    for group in optimizer.param_groups:
        group["lr"] = peak * min(1.0, (step + 1) / warm_up) * (0.01 + 0.99 * cosine)
