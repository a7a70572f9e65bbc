"""Run the `neural-fx` command and print its errors. Each subcommand has a file of its own."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from bridge.cli import analyze, bench, circuit, drums, info, latent, play, plugin, render, serve, sounds, timbre, train
from bridge.cli.signals import Stopped, handled, released_on_error
from bridge.cli.train_instrument import train_instrument
from neural_fx import __version__
from neural_fx.errors import NeuralFXError
from neural_fx.inputs import printable

app = typer.Typer(
    name="neural-fx",
    help="Neural captures of pedals and amplifiers, and neural instruments.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"neural-fx {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


app.command("render")(render.render)
app.command("demo")(render.demo)
app.command("info")(info.info)
app.command("pedals")(info.pedals)
app.command("export")(info.export)
app.command("train")(train.train)
app.command("train-timbre")(timbre.train_timbre)
app.command("train-instrument")(train_instrument)
app.command("analyze")(analyze.analyze)
app.command("timbres")(sounds.timbres)
app.command("play")(play.play)
app.command("instruments")(sounds.instruments)
app.command("drums")(drums.drums)
app.add_typer(latent.app, name="latent")
app.command("circuit")(circuit.circuit)
app.command("bench")(bench.bench)
app.command("serve")(serve.serve)
app.add_typer(plugin.app, name="plugin")


def _print_warning(message: object, *_details: object, **_more: object) -> None:
    print(f"neural-fx: warning: {printable(str(message))}", file=sys.stderr)


def main() -> None:
    """Run the command line.

    The exit status is 2 for errors in the input, 130 after Ctrl-C, 143 after SIGTERM and 129 after SIGHUP.
    """
    warnings.showwarning = _print_warning
    try:
        with handled(), released_on_error():
            app()
    except NeuralFXError as error:
        print(f"neural-fx: error: {printable(str(error))}", file=sys.stderr)
        sys.exit(2)
    except Stopped as stopped:
        print(f"neural-fx: {stopped}", file=sys.stderr)
        sys.exit(stopped.status)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
