"""`neural-fx train-timbre`: train a timbre from solo recordings."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bridge.cli.learning import Findings, Minutes, Session, Threads, check_start, wants_report
from bridge.cli.progress import Standing, say
from neural_fx.errors import TrainingError
from neural_fx.optional import install_command, is_installed, need

if TYPE_CHECKING:
    from neural_fx.training.timbre.loop import Progress, Trainer
    from neural_fx.training.timbre.recordings import Solo


def train_timbre(
    folder: Annotated[
        Path, typer.Argument(help="Folder with recordings of one instrument that plays alone, one note at a time.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write, TIMBRE.safetensors.")],
    minutes: Minutes = 30.0,
    hidden: Annotated[int, typer.Option(min=8, max=1024, help="Width of the network.")] = 128,
    harmonics: Annotated[
        int, typer.Option(min=0, max=512, help="Number of harmonics. 0 takes as many as the lowest note needs.")
    ] = 0,
    reverb: Annotated[float, typer.Option(min=0, max=4, help="Length of the learned room response in seconds.")] = 0.5,
    batch: Annotated[int, typer.Option(min=1, max=1024, help="Two-second segments per step.")] = 8,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto. auto takes cuda if there is one.")] = "auto",
    threads: Threads = 0,
    name: Annotated[str | None, typer.Option(help="Name of the timbre in the metadata.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for the initial weights and the segments.")] = 0,
    report: Annotated[
        bool | None,
        typer.Option("--report/--no-report", help="Write TIMBRE.html with pictures and samples. Needs matplotlib."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from TIMBRE.ckpt after an interruption.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the timbre if it exists.")] = False,
) -> None:
    """Learn the sound of an instrument from a folder of solo recordings.

    Part of the recordings is not trained on and is used to measure the result. A checkpoint is written every minute.
    Ctrl-C writes the best timbre so far. After Ctrl-C, a crash or a full disk, add --resume to continue from the
    checkpoint.
    """
    if out.suffix != ".safetensors":
        raise TrainingError(f"{out}: expected a file name that ends in .safetensors")
    check_start(out, resume, overwrite)
    if not os.path.isdir(folder):
        raise TrainingError(f"{folder}: no such folder")

    console = Console(stderr=True)
    torch = need("torch", "training")
    reported = wants_report(report, console)

    from neural_fx.timbre.decoder import Shape
    from neural_fx.training.timbre.export import save_timbre
    from neural_fx.training.timbre.habits import find_habits
    from neural_fx.training.timbre.loop import Settings, Trainer

    solos = _listen(folder, out, console)
    find_habits(solos)  # raises now, not after the training when the timbre is written
    lowest = min(float(solo.analysis.f0_hz[solo.analysis.voiced].min(initial=1e9)) for solo in solos)
    shape = Shape(hidden, harmonics or int(min(200, max(20, 20000 / lowest))), round(reverb * 48000) + 1)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = Settings(minutes, batch=batch, device=device, threads=threads or os.cpu_count() or 1, seed=seed)
    trainer = Trainer(shape, solos, settings)
    session = Session(
        trainer,
        out,
        write=lambda: save_timbre(out, trainer, solos, name or out.stem),
        result=lambda: f"spectral loss {_number(trainer.best_loss)}",
        progress_text=_progress_text,
        console=console,
        resumed=resume,
    )
    session.resume()
    session.run()
    session.say(f"{out}: spectral loss {_number(trainer.best_loss)} after {trainer.course}")
    if reported:
        session.report(lambda: _write_report(out, trainer), required=bool(report))


def _listen(folder: Path, out: Path, console: Console) -> list[Solo]:
    """Read and analyse the recordings."""
    from neural_fx.training.timbre.recordings import find, load

    files = find(folder)
    if not is_installed("swift_f0"):
        say(
            console,
            "using the less accurate live pitch tracker, because swift-f0 is missing: " + install_command("swift_f0"),
        )
    with Standing(console, "analysing") as standing:
        solos = load(
            files,
            out.parent / f".{out.stem}-analysis",
            lambda done: standing.show(done / len(files), f"{done} of {len(files)} recordings"),
        )
    seconds = sum(len(solo.audio) for solo in solos) / 48000
    say(console, f"{len(files)} recordings, {seconds:.0f} s")
    return solos


def _progress_text(progress: Progress) -> str:
    if math.isnan(progress.validation):
        return f"step {progress.step}, loss {progress.loss:.2f}, no validation yet"
    return f"step {progress.step}, spectral loss {progress.validation:.2f}, best {progress.best:.2f}"


def _number(loss: float) -> str:
    return f"{loss:.2f}" if math.isfinite(loss) else "not measured yet"


def _write_report(out: Path, trainer: Trainer) -> Findings:
    from neural_fx.training.timbre.report import write_report

    return write_report(out, trainer)
