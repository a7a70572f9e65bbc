"""`neural-fx train`: train a capture from dry and wet recordings."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bridge.cli.learning import Findings, Minutes, Session, Threads, check_start, wants_report
from neural_fx.errors import TrainingError
from neural_fx.optional import need
from neural_fx.outputs import check_output

if TYPE_CHECKING:
    from neural_fx.training.loop import Progress, Trainer


def train(
    recordings: Annotated[
        list[Path], typer.Argument(help="DRY WET: the input and the output of the device. More pairs may follow.")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="File to write: MODEL.nam, or MODEL.safetensors with --knob.")
    ],
    arch: Annotated[
        str, typer.Option(help="Architecture: a1-standard, a1-lite, a1-feather, a1-nano, a2-full, a2-lite or lstm.")
    ] = "a1-standard",
    knob: Annotated[
        list[str] | None,
        typer.Option(
            help="Knob positions of one pair as NAME=0..1[,NAME=0..1...]. Repeat it for every pair, in order."
        ),
    ] = None,
    minutes: Minutes = 8.0,
    epochs: Annotated[
        float | None,
        typer.Option(min=0.01, help="Stop after this many passes over the recordings, if that is earlier."),
    ] = None,
    sample_rate: Annotated[int, typer.Option(min=8000, max=192000, help="Sample rate of the capture in Hz.")] = 48000,
    mask: Annotated[
        str | None,
        typer.Option(help="SKIP/PERIOD: leave the first SKIP seconds of every PERIOD seconds out of the loss."),
    ] = None,
    latency: Annotated[
        int | None,
        typer.Option(
            help="Samples at --sample-rate by which the wet file is late. Negative if it is early.",
            show_default="measured",
        ),
    ] = None,
    stft: Annotated[float, typer.Option(min=0, help="Weight of a multi-resolution STFT loss. 0 leaves it out.")] = 0.0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Threads = 0,
    name: Annotated[str | None, typer.Option(help="Name of the device in the metadata.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for the initial weights and the training windows.")] = 0,
    report: Annotated[
        bool | None,
        typer.Option("--report/--no-report", help="Write MODEL.html with pictures and audio. Needs matplotlib."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from MODEL.ckpt after an interruption.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the capture if it exists.")] = False,
) -> None:
    """Train a capture of your own gear from dry and wet recordings.

    Latency, polarity and clock drift are measured, and problems of the recordings are reported. Several pairs of one
    setting make one capture. With --knob, pairs of several settings make one capture with knobs.

    A checkpoint is written every minute. Ctrl-C writes the best capture so far. After Ctrl-C, a crash or a full disk,
    add --resume to continue from the checkpoint.
    """
    positions = [_positions(text) for text in knob or []]
    _check_suffix(out, arch, bool(positions))
    check_start(out, resume, overwrite)
    check_output(out, True, recordings)
    pairs = _pairs(recordings, positions)
    console = Console(stderr=True)
    need("torch", "training")
    if stft:
        need("auraloss.freq", "--stft")
    reported = wants_report(report, console)

    from neural_fx.networks import WaveNet
    from neural_fx.training.architectures import knobbed, untrained
    from neural_fx.training.export import save_capture
    from neural_fx.training.loop import Settings, Trainer
    from neural_fx.training.losses import Loss
    from neural_fx.training.pairs import Mask, load_pairs

    names = list(positions[0]) if positions else []
    plain = untrained(arch, seed)
    if names and not isinstance(plain, WaveNet):
        raise TrainingError(f"--knob goes with the WaveNet architectures; {arch} cannot fold knobs into its weights")
    loaded = load_pairs(
        pairs,
        sample_rate,
        Mask.parse(mask) if mask else None,
        latency,
        [tuple(position[n] for n in names) for position in positions],
        lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True),
    )
    network = knobbed(plain, len(names), seed=seed) if isinstance(plain, WaveNet) and names else plain
    settings = Settings(
        minutes=minutes,
        epochs=epochs,
        device=device,
        threads=threads or os.cpu_count() or 1,
        seed=seed,
        loss=Loss(stft=stft),
    )
    trainer = Trainer(network, loaded, settings)
    defaults = dict.fromkeys(names, 0.5)
    session = Session(
        trainer,
        out,
        write=lambda: save_capture(out, trainer, name, pairs, defaults),
        result=lambda: f"ESR {_percent(trainer.best_esr)}",
        progress_text=_progress_text,
        console=console,
        resumed=resume,
    )
    session.resume()
    session.run()
    session.say(f"{out}: validation ESR {_percent(trainer.best_esr)} after {trainer.course}")
    if reported:
        session.report(lambda: _write_report(trainer, out, name or out.stem), required=bool(report))


def _progress_text(progress: Progress) -> str:
    if math.isnan(progress.validation_esr):
        return f"step {progress.step}, loss {progress.loss:.4f}, no validation yet"
    return f"step {progress.step}, ESR {_percent(progress.validation_esr)}, best {_percent(progress.best_esr)}"


def _write_report(trainer: Trainer, out: Path, title: str) -> Findings:
    from neural_fx.training.report import write_report

    stem = out.with_suffix("")
    return write_report(stem, trainer.best, trainer.validation[-1], title, trainer.course, trainer.enough)


def _check_suffix(out: Path, arch: str, knobs: bool) -> None:
    from neural_fx.training.architectures import file_suffix

    suffix = ".safetensors" if knobs else file_suffix(arch)
    if out.suffix != suffix:
        more = " for a capture with knobs; `neural-fx export` makes .nam snapshots of it" if knobs else ""
        raise TrainingError(f"{out}: expected a file name that ends in {suffix}{more}")


def _pairs(recordings: list[Path], positions: list[dict[str, float]]) -> list[tuple[Path, Path]]:
    if len(recordings) % 2:
        raise TrainingError(f"expected pairs of files, DRY WET each; found {len(recordings)}")
    pairs = list(zip(recordings[::2], recordings[1::2], strict=True))
    if positions and len(positions) != len(pairs):
        raise TrainingError(f"{len(pairs)} pairs and {len(positions)} --knob options; expected one for each pair")
    if any(list(p) != list(positions[0]) for p in positions):
        raise TrainingError("every --knob must name the same knobs, in the same order")
    return pairs


def _positions(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        try:
            turn = float(value)
        except ValueError:
            turn = -1.0
        if not equals or not name.isidentifier() or not 0 <= turn <= 1:
            raise TrainingError(
                f"--knob {text}: expected NAME=VALUE with 0 to 1, such as gain=0.25 or gain=0.25,tone=1"
            )
        found[name] = turn
    return found


def _percent(esr: float) -> str:
    return f"{100 * esr:.3f} %" if math.isfinite(esr) else "not measured yet"
