"""`neural-fx render` and `neural-fx demo`: render files through a pedal, a capture, a timbre or a board."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import as_file, files
from typing import Annotated

import typer

from bridge.cli.batch import audio_seconds, run_batch
from bridge.cli.board_options import BoardOptions
from neural_fx.outputs import output_file
from neural_fx.placement import check_device, has_cuda, is_gpu, offline_device
from neural_fx.render import Output, plan
from neural_fx.render.runners import AUTO, find_runner


def render(
    inputs: Annotated[list[str], typer.Argument(help="Audio files, folders, or glob patterns.")],
    out: Annotated[
        str,
        typer.Option(
            "-o", "--out", help="Output file for one input; otherwise a folder (NAME/) that gets the same file names."
        ),
    ],
    model: Annotated[str | None, typer.Option(help="Capture file of any known format.")] = None,
    pedal: Annotated[str | None, typer.Option(help="Bundled pedal. See `neural-fx pedals`.")] = None,
    timbre: Annotated[str | None, typer.Option(help="Timbre to transfer to. See `neural-fx timbres`.")] = None,
    board: Annotated[str | None, typer.Option(help="Board file (YAML).")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="SLOT.PARAM=VALUE or PARAM=VALUE. SLOT is a name, or a number from 1. Repeatable."),
    ] = None,
    mix: Annotated[float | None, typer.Option(help="Dry/wet mix, 0 (dry) to 1 (wet).")] = None,
    level: Annotated[
        str | None, typer.Option(help="Output level with --model or --pedal: raw, normalized (-18 dB) or calibrated.")
    ] = None,
    oversample: Annotated[
        int, typer.Option(help="Run at 1, 2, 4 or 8 times the model's rate against aliasing. With --model or --pedal.")
    ] = 1,
    tail: Annotated[
        float, typer.Option(min=0, max=600, help="Seconds to render after the end of the input, for echoes.")
    ] = 0.0,
    sample_rate: Annotated[
        int | None, typer.Option(min=1000, max=768000, help="Sample rate of the output in Hz.")
    ] = None,
    subtype: Annotated[
        str | None, typer.Option(help="Sample format by its libsndfile name, such as PCM_16, PCM_24 or FLOAT.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Files to render at the same time. A GPU renders one.")] = 1,
    device: Annotated[
        str,
        typer.Option(help="cpu, cpu-fast, cuda, mps, torch or auto. auto takes cuda if there is one and enough audio."),
    ] = "auto",
    runner: Annotated[
        str,
        typer.Option(
            help="here (one file after another), processes, one of an installed package, or auto. auto takes here for "
            "one job and processes for more."
        ),
    ] = AUTO,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report on standard output.")] = False,
) -> None:
    """Render audio files through a capture, a bundled pedal, a timbre, or a board."""
    find_runner(runner)  # a wrong name is reported before any work
    make = BoardOptions(
        model, pedal, board, tuple(settings or ()), mix, level, timbre, check_device(device), oversample
    )
    pairs = plan(inputs, out)
    if device == "auto" and has_cuda():
        seconds = sum(audio_seconds(source, of_channels=True) for source, _ in pairs)
        make = replace(make, device=offline_device(make(), seconds, jobs))
    if is_gpu(make.device):
        jobs = 1  # one file fills a GPU
    run_batch(pairs, make, Output(sample_rate, subtype, tail, overwrite), jobs, as_json, runner)


def demo(
    out: Annotated[str, typer.Option("-o", "--out", help="File to write, or a folder (NAME/).")] = "demo.wav",
    pedal: Annotated[str, typer.Option(help="Bundled pedal. See `neural-fx pedals`.")] = "klon-gain-stage",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Render the bundled guitar riff through a bundled pedal."""
    make = BoardOptions(pedal=pedal)
    target = output_file(out, "demo.wav")
    with as_file(files("neural_fx") / "assets" / "riff.flac") as riff:
        run_batch(plan([riff], target), make, Output(overwrite=overwrite), 1, False)
