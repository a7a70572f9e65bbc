"""`neural-fx analyze`: write the pitch and loudness of a recording as numbers and as a picture."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from neural_fx.errors import NeuralFXError
from neural_fx.optional import install_command, is_installed, need


def analyze(
    file: Annotated[Path, typer.Argument(help="Audio file. Its channels are averaged.")],
    plot: Annotated[
        str | None,
        typer.Option(help="PNG file or folder (NAME/) to write spectrogram, pitch, confidence and loudness to."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Pitch tracker: offline (more accurate, needs swift-f0) or live (as on a stream).",
            show_default="offline if swift-f0 is installed",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all frames as JSON instead of CSV.")] = False,
) -> None:
    """Measure the pitch and loudness of one instrument or voice, 250 frames a second.

    Prints CSV on standard output.
    """
    from neural_fx import timbre
    from neural_fx.audio import read_audio
    from neural_fx.errors import reason
    from neural_fx.inputs import printable
    from neural_fx.outputs import check_output, output_file
    from neural_fx.timbre.analysis import HOP, RATE, best_method
    from neural_fx.timbre.plots import plot_analysis

    if method not in ("offline", "live", None):
        raise NeuralFXError(f"--method {method}: expected offline or live")
    if plot is not None:
        need("matplotlib.figure", "--plot")
    if method == "offline" and not is_installed("swift_f0"):
        install = install_command("swift_f0")
        raise NeuralFXError(f"--method offline needs swift-f0: {install}; --method live works without it")
    if method is None:
        method = best_method()
        if method == "live":
            install = install_command("swift_f0")
            text = f"using the less accurate live tracker, because swift-f0 is missing: {install}"
            print(f"neural-fx: {text}", file=sys.stderr)
    picture = None if plot is None else output_file(plot, f"{file.stem}.png")
    if picture is not None:
        check_output(picture, True, [file])
    audio, rate = read_audio(file)
    found = timbre.analyze(audio, rate, method)
    names = ("f0_hz", "confidence", "loudness_db")
    if picture is not None:
        try:
            picture.parent.mkdir(parents=True, exist_ok=True)
            plot_analysis(picture, audio.mean(0), rate, found, printable(file.name))
        except OSError as error:
            raise NeuralFXError(f"{picture}: cannot be written: {reason(error)}") from None
        print(
            f"{printable(picture)}: {len(found.f0_hz)} frames, {100 * found.voiced.mean():.0f} % with a clear pitch",
            file=sys.stderr,
        )
    if as_json:
        columns = {name: [round(float(v), 4) for v in values] for name, values in zip(names, found, strict=True)}
        print(json.dumps({"seconds_per_frame": HOP / RATE, **columns}))
    elif picture is None:
        table = csv.writer(sys.stdout)
        table.writerow(("seconds", *names))
        for k, row in enumerate(zip(*found, strict=True)):
            table.writerow((f"{k * HOP / RATE:.3f}", *(f"{value:.3f}" for value in row)))
