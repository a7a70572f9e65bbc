"""`neural-fx plugin`: build, install, connect and check the DAW plugins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="Build, install, connect and check the DAW plugins.", no_args_is_help=True)

_Folder = Annotated[
    Path | None, typer.Option("--folder", "-o", help="Build folder.", show_default="in the user's cache")
]


@app.command()
def build(
    dpf: Annotated[Path, typer.Option(help="Folder of the DISTRHO Plugin Framework.")] = Path("/usr/share/dpf"),
    folder: _Folder = None,
    windows: Annotated[bool, typer.Option("--windows", help="Build VST3 and CLAP for Windows with MinGW.")] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Compilers to run at the same time. 0 runs one per core.")] = 0,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the output of CMake and the compilers.")] = False,
) -> None:
    """Build Neural FX, Neural FX Mono and Neural Instrument as VST3, LV2 and CLAP."""
    from bridge.plugin.building import build

    console = Console(stderr=True)
    with console.status("Building the plugins") as status:
        log = console.print if verbose else lambda line: status.update(line[:100].replace("[", "\\["))
        made = build(folder, dpf, windows, jobs, log)
    for bundle in made:
        print(bundle)


@app.command()
def install(folder: _Folder = None) -> None:
    """Copy the built plugins into your plugin folders."""
    from bridge.plugin.building import install

    for place in install(folder):
        print(place)


@app.command()
def connect(
    worker: Annotated[str, typer.Argument(help="Streaming port of the worker as HOST:PORT.")],
    board: Annotated[
        str, typer.Option(help="Board or instrument of the worker.", show_default="the first that fits")
    ] = "",
    token: Annotated[str, typer.Option(help="Token of the worker, if it needs one.", envvar="NEURAL_FX_TOKEN")] = "",
) -> None:
    """Choose the worker that new plugin instances play through.

    Instances in a saved session keep their own worker.
    """
    from bridge.plugin.building import connect

    print(connect(worker, board, token))


@app.command()
def check(
    folder: _Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Load the built plugins through pedalboard and play one second through a worker."""
    from bridge.errors import BridgeError
    from bridge.plugin.building import NAMES, default_folder
    from bridge.plugin.checking import check

    place, found = (folder or default_folder()) / "bin", {}
    bundles = [place / f"{name}.vst3" for name in NAMES if (place / f"{name}.vst3").exists()]
    if not bundles:
        raise BridgeError(f"no plugins in {place}; run `neural-fx plugin build` first")
    console = Console(stderr=True)
    for bundle in bundles:
        with console.status(f"{bundle.name} (an instrument takes pedalboard about 15 s to load)"):
            found[bundle.name] = check(bundle)
        if not as_json:
            results = ", ".join(f"{name} {value:g}" for name, value in found[bundle.name].items())
            print(f"{bundle.name}: works ({results})")
    if as_json:
        print(json.dumps(found, indent=2))
