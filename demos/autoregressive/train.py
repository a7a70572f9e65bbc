"""Train an autoregressive network on packed notes until a time is over.

    python demos/autoregressive/train.py wavenet --notes build/autoregressive/notes.xz -o wavenet.safetensors \
        --seconds 280

The kinds are `wavenet` and `recurrent`. Needs only torch, numpy and safetensors. Runs on CUDA if there is any. Every
20 s it writes the mean of the latest weights. At the end it adds the bits per sample of held-out notes, beside those of
a linear predictor. `--engine compiled` computes the gradients in the compiled kernels, on one core of the CPU.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from demos.autoregressive.batches import SEMITONES, Windows
from demos.autoregressive.evaluation import linear_bits, network_bits
from demos.autoregressive.notes import Note, read_notes
from neural_fx.networks.autoregressive.description import Description, RecurrentSizes, WaveNetSizes, count_weights
from neural_fx.networks.autoregressive.files import (
    AutoregressiveFile,
    load_weights,
    read_network,
    save_network,
    weights_of,
)
from neural_fx.networks.autoregressive.losses import class_bits
from neural_fx.networks.autoregressive.model import Autoregressive, build
from neural_fx.networks.autoregressive.signal import Signal

if TYPE_CHECKING:
    from neural_fx.networks.autoregressive.compiled_loss import CompiledLoss

WRITE_SECONDS = 20.0
MEAN_DECAY = 0.999
RISE = 0.02
"""Share of the time in which the learning rate rises."""


@dataclass(frozen=True)
class Course:
    """How a kind of network is trained.

    Attributes:
        windows: of a batch on a GPU.
        samples: of a window.
        uncounted: samples at a window's start that do not count.
        rate: highest learning rate.
        half: whether most of it is computed in bfloat16. A GRU's state would lose too many digits.
    """

    windows: int
    samples: int
    uncounted: int
    rate: float
    half: bool


COURSES = {
    "wavenet": Course(windows=64, samples=6144, uncounted=1024, rate=2e-3, half=True),
    "recurrent": Course(windows=384, samples=1536, uncounted=256, rate=2.5e-3, half=False),
}
SIZES: dict[str, WaveNetSizes | RecurrentSizes] = {"wavenet": WaveNetSizes(), "recurrent": RecurrentSizes()}


def learning_rate(share: float, highest: float) -> float:
    """Return the learning rate at a share of the time, 0 to 1: a short rise, then half a cosine."""
    return highest * min(1.0, share / RISE) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


class Mean:
    """The moving mean of a network's weights, which plays better than the latest ones.

    Args:
        model: whose weights are followed.
    """

    def __init__(self, model: Autoregressive) -> None:
        self._model = model
        self._copy = build(model.description).to(model.voices.device)
        self._copy.load_state_dict(model.state_dict())
        self._steps = 0

    @property
    def model(self) -> Autoregressive:
        """A network with the mean weights."""
        return self._copy

    @torch.no_grad()
    def update(self) -> None:
        """Follow the weights after a step."""
        self._steps += 1
        decay = min(MEAN_DECAY, self._steps / (self._steps + 10))
        torch._foreach_lerp_(list(self._copy.parameters()), list(self._model.parameters()), 1 - decay)


def train(model: Autoregressive, notes: list[Note], options: argparse.Namespace, about: dict[str, Any]) -> Mean:
    """Train until the time is over.

    Args:
        model: the network, on its device.
        notes: to learn.
        options: of the command line.
        about: metadata of the file. The course is added.
    """
    course = COURSES[model.description.kind]
    device = model.voices.device
    windows = Windows(notes, model.description.signal, device, options.semitones)
    count = options.windows or (course.windows if device.type == "cuda" else 4)
    samples = options.samples or course.samples
    compiled = compiled_loss(model, count, samples) if options.engine == "compiled" else None
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.98), weight_decay=options.decay)
    mean = Mean(model)
    began = time.monotonic()
    # The evaluation is part of the time.
    limit = options.seconds - (time.time() - options.began) - options.evaluation_seconds
    written = began
    steps = 0
    recent = torch.zeros((), device=device)
    since = 0
    while (now := time.monotonic()) - began < limit or steps == 0:
        rate = learning_rate((now - began) / limit, options.rate or course.rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cuda", torch.bfloat16, enabled=course.half and device.type == "cuda"):
            batch = windows.choose(model, count, samples, min(course.uncounted, samples // 4))
            if compiled:
                loss = compiled(batch.previous, batch.classes, batch.conditions, batch.counted)
            else:
                outputs, _ = model(batch.previous, batch.conditions)
        if not compiled:
            bits = class_bits(outputs, batch.classes)
            loss = (bits * batch.counted).sum() / batch.counted.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if steps > 0 and steps % 50 == 0 and not math.isfinite(float(norm)):
            raise FloatingPointError(f"step {steps}: the gradient is not finite")
        optimizer.step()
        mean.update()
        recent += loss.detach()
        since += 1
        steps += 1
        if time.monotonic() - written > WRITE_SECONDS:
            written = time.monotonic()
            about["course"].append([round(written - began, 1), steps, round(float(recent) / since, 4)])
            print(model.description.kind, *about["course"][-1], flush=True)
            recent.zero_()
            since = 0
            write(options.out, mean.model, about)
    if since:
        about["course"].append([round(time.monotonic() - began, 1), steps, round(float(recent) / since, 4)])
        print(model.description.kind, *about["course"][-1], flush=True)
    about["steps"] = steps
    about["batch"] = [count, samples]
    return mean


def compiled_loss(model: Autoregressive, count: int, samples: int) -> CompiledLoss:
    """Return the loss from the compiled kernels, which need the package with its compiled module."""
    from neural_fx.networks.autoregressive.compiled_loss import CompiledLoss

    return CompiledLoss(model, count, samples)


def write(path: Path, model: Autoregressive, about: dict[str, Any]) -> None:
    """Write the file of a network, unless its weights are not finite."""
    weights = weights_of(model)
    if all(math.isfinite(float(array.sum())) for array in weights.values()):
        save_network(path, AutoregressiveFile(model.description, weights, about))


def spread(notes: list[Note], most: int) -> list[Note]:
    """Return at most so many notes, evenly from the list of every instrument."""
    found: list[Note] = []
    voices = sorted({note.voice for note in notes})
    each = max(1, most // len(voices))
    for voice in voices:
        own = [note for note in notes if note.voice == voice]
        found += own[:: max(1, -(-len(own) // each))]
    return found


def main() -> None:
    """Train one network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=SIZES)
    parser.add_argument("--notes", type=Path, default=Path("build/autoregressive/notes.xz"))
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=280.0, help="for all of it")
    parser.add_argument("--evaluation-seconds", type=float, default=15.0, help="kept for the evaluation")
    parser.add_argument("--began", type=float, default=time.time(), help="when the time began, in seconds since 1970")
    parser.add_argument("--windows", type=int, default=0, help="of a batch; 0 for the usual number")
    parser.add_argument("--samples", type=int, default=0, help="of a window; 0 for the usual number")
    parser.add_argument("--measured", type=int, default=96, help="notes of each evaluation")
    parser.add_argument("--start", type=Path, help="a file whose weights to go on from")
    parser.add_argument("--rate", type=float, default=0.0, help="highest learning rate; 0 for the usual one")
    parser.add_argument("--decay", type=float, default=1e-3, help="of the weights")
    parser.add_argument("--semitones", type=float, default=SEMITONES, help="most random change of a window's pitch")
    parser.add_argument("--engine", choices=("torch", "compiled"), default="torch", help="computes the gradients")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    signal = Signal()
    notes, content = read_notes(options.notes, signal)
    model = build(Description(SIZES[options.kind], signal=signal, voices=tuple(content["voices"])))
    if options.start:
        load_weights(model, read_network(options.start).weights)
    device = torch.device("cpu" if options.engine == "compiled" else options.device)
    model.to(device)
    trained = [note for note in notes if not note.held_out]
    held_out = spread([note for note in notes if note.held_out], options.measured)
    about: dict[str, Any] = {
        "weights": count_weights(model.description),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "performances": content["performances"],
        "course": [],
    }
    print(options.kind, "notes:", len(trained), "to learn,", len(held_out), "held out; on", about["device"], flush=True)
    mean = train(model, trained, options, about)
    write(options.out, mean.model, about)
    at_once = 16 if device.type == "cuda" else 2
    about["bits"] = {
        "held_out": network_bits(mean.model, held_out, device, at_once),
        "trained": network_bits(mean.model, spread(trained, options.measured), device, at_once),
        "linear_predictor_held_out": linear_bits(held_out, signal, model.description.voices),
    }
    write(options.out, mean.model, about)
    print(options.kind, json.dumps(about["bits"]), flush=True)


if __name__ == "__main__":
    main()
