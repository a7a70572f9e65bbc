"""`neural-fx train`: a dry and a wet recording to a capture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


def train(
    dry: Annotated[Path, typer.Argument(help="What went into the pedal or amplifier.")],
    wet: Annotated[Path, typer.Argument(help="What came out of it, recorded at the same time.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The capture to write, MODEL.nam.")],
    arch: Annotated[str, typer.Option(help="a1-standard, a1-lite, a1-feather or a1-nano.")] = "a1-standard",
    minutes: Annotated[float, typer.Option(min=0.01, max=10000, help="Wall time to train for.")] = 8.0,
    sample_rate: Annotated[int, typer.Option(min=8000, max=192000, help="Of the capture, in Hz.")] = 48000,
    mask: Annotated[
        str | None, typer.Option(help="SKIP/PERIOD: leave the first SKIP seconds of every PERIOD out of the loss.")
    ] = None,
    latency: Annotated[
        int | None, typer.Option(help="Samples by which the wet file is late; found by itself if left out.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    name: Annotated[str | None, typer.Option(help="For the metadata.")] = None,
    seed: Annotated[int, typer.Option(help="Of the start weights and of the windows drawn.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from MODEL.ckpt, left by an interruption.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace MODEL.nam if it exists.")] = False,
) -> None:
    """Train a capture of your own gear from a dry and a wet recording.

    Ctrl-C writes the best capture so far, and a checkpoint that --resume continues.
    """
    from neural_fx.errors import TrainingError
    from neural_fx.training.architectures import untrained
    from neural_fx.training.export import save_capture
    from neural_fx.training.loop import Progress as Standing
    from neural_fx.training.loop import Settings, Trainer
    from neural_fx.training.pairs import Mask, load_pair

    if out.exists() and not overwrite and not resume:
        raise TrainingError(f"{out}: exists already; --overwrite replaces it")
    if out.suffix != ".nam":
        raise TrainingError(f"{out}: the capture is a .nam file; name it so")
    if not out.parent.is_dir():
        raise TrainingError(f"{out.parent}: no such folder")
    console = Console(stderr=True)
    network = untrained(arch, seed)
    pair = load_pair(dry, wet, sample_rate, Mask.parse(mask) if mask else None, latency)
    usable = pair.usable.sum() / sample_rate
    console.print(f"{usable:.0f} s of usable audio at {sample_rate} Hz; the wet file is {pair.latency} samples late")
    trainer = Trainer(network, pair, Settings(minutes=minutes, device=device, seed=seed))
    checkpoint = out.with_suffix(".ckpt")
    if resume:
        trainer.load(checkpoint)
        console.print(f"going on from {checkpoint}, step {trainer.step}, ESR {100 * trainer.best_esr:.3f} %")
    bar = Progress(
        TextColumn("training"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[esr]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    task = bar.add_task("training", total=1.0, esr="")

    def report(standing: Standing) -> None:
        text = f"ESR {100 * standing.validation_esr:.3f} %, best {100 * standing.best_esr:.3f} %"
        bar.update(task, completed=standing.fraction, esr=text)
        if not console.is_terminal:
            console.print(f"{100 * standing.fraction:3.0f} % of the time, step {standing.step}: {text}")

    try:
        with bar:
            trainer.run(report)
    except KeyboardInterrupt:
        trainer.save(checkpoint)
        console.print(f"interrupted; {checkpoint} keeps the state for --resume")
        if trainer.step:
            save_capture(out, trainer, name, [(dry, wet)])
            console.print(f"{out}: best so far, {_percent(trainer.best_esr)}")
        raise typer.Exit(130) from None
    save_capture(out, trainer, name, [(dry, wet)])
    checkpoint.unlink(missing_ok=True)
    console.print(f"{out}: validation ESR {_percent(trainer.best_esr)} after {trainer.step} steps")


def _percent(esr: float) -> str:
    return f"{100 * esr:.3f} %"
