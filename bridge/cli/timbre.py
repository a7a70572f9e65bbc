"""`neural-fx train-timbre`: solo recordings to a timbre."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from neural_fx.errors import TrainingError

if TYPE_CHECKING:
    from neural_fx.training.timbre.loop import Progress as Standing
    from neural_fx.training.timbre.loop import Trainer


def train_timbre(
    folder: Annotated[Path, typer.Argument(help="Recordings of one instrument playing alone, one note at a time.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="TIMBRE.safetensors.")],
    minutes: Annotated[float, typer.Option(min=0.01, max=10000, help="Wall time to train for.")] = 30.0,
    hidden: Annotated[int, typer.Option(min=8, max=1024, help="Width of the network.")] = 128,
    harmonics: Annotated[int, typer.Option(min=0, max=512, help="Of the bank; 0: as many as the lowest note has.")] = 0,
    reverb: Annotated[float, typer.Option(min=0, max=4, help="Seconds of the room that is learned.")] = 0.5,
    batch: Annotated[int, typer.Option(min=1, max=1024, help="Segments of two seconds per step.")] = 8,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda where there is one.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, max=256, help="Cores to train on; 0: all of them.")] = 0,
    name: Annotated[str | None, typer.Option(help="For the metadata.")] = None,
    seed: Annotated[int, typer.Option(help="Of the start weights and of the segments drawn.")] = 0,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write TIMBRE.html, .png and samples.")] = True,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from TIMBRE.ckpt, left by an interruption.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the timbre if it exists.")] = False,
) -> None:
    """Learn the sound of an instrument from a folder of solo recordings.

    A part of the recordings is held out and measured at the end. Ctrl-C writes the best timbre so far, and a
    checkpoint that --resume continues.
    """
    if out.suffix != ".safetensors":
        raise TrainingError(f"{out}: a timbre is a .safetensors file; name it so")
    if out.exists() and not (overwrite or resume):
        raise TrainingError(f"{out}: exists already; --overwrite replaces it")
    if not out.parent.is_dir():
        raise TrainingError(f"{out.parent}: no such folder")
    if not folder.is_dir():
        raise TrainingError(f"{folder}: no such folder")

    from neural_fx.timbre.decoder import Shape
    from neural_fx.training.timbre.export import save_timbre
    from neural_fx.training.timbre.loop import Settings, Trainer
    from neural_fx.training.timbre.recordings import find, load
    from neural_fx.training.timbre.report import write_report

    console = Console(stderr=True)
    files = find(folder)
    with _bar(console, "listening") as bar:
        task = bar.add_task("listening", total=len(files), text="")
        solos = load(files, out.parent / f".{out.stem}-analysis", lambda done: bar.update(task, completed=done))
    seconds = sum(len(solo.audio) for solo in solos) / 48000
    console.print(f"{len(files)} recordings, {seconds:.0f} s", highlight=False)
    lowest = min(float(solo.analysis.f0_hz[solo.analysis.voiced].min(initial=1e9)) for solo in solos)
    shape = Shape(hidden, harmonics or int(min(200, max(20, 20000 / lowest))), round(reverb * 48000) + 1)
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = Settings(minutes, batch=batch, device=device, threads=threads or os.cpu_count() or 1, seed=seed)
    trainer = Trainer(shape, solos, settings)
    checkpoint = out.with_suffix(".ckpt")
    if resume:
        trainer.load(checkpoint)
        console.print(f"going on from {checkpoint}, step {trainer.step}", highlight=False)
    interrupted = False
    try:
        _run(trainer, console)
    except KeyboardInterrupt:
        interrupted = True
        trainer.save(checkpoint)
        console.print(f"interrupted; {checkpoint} keeps the state for --resume")
    save_timbre(out, trainer, solos, name or out.stem)
    console.print(f"{out}: spectral loss {trainer.best_loss:.2f} after {trainer.step} steps", highlight=False)
    if interrupted:
        raise typer.Exit(130)
    checkpoint.unlink(missing_ok=True)
    if report:
        for sentence in write_report(out, trainer).words:
            console.print(sentence, highlight=False)
        console.print(f"{out.with_suffix('.html')}: the report", highlight=False)


def _bar(console: Console, what: str) -> Progress:
    return Progress(
        TextColumn(what),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _run(trainer: Trainer, console: Console) -> None:
    with _bar(console, "training") as bar:
        task = bar.add_task("training", total=1.0, text="")

        def say(standing: Standing) -> None:
            text = f"spectral loss {standing.validation:.2f}, best {standing.best:.2f}"
            bar.update(task, completed=standing.fraction, text=text)
            if not console.is_terminal:
                console.print(f"{100 * standing.fraction:3.0f} % of the time, step {standing.step}: {text}")

        trainer.run(say)
