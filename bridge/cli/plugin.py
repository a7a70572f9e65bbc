"""`neural-fx plugin`: build, install and check the DAW plugins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="The DAW plugins: Neural FX, Neural FX Mono and Neural Instrument.", no_args_is_help=True)

_Folder = Annotated[
    Path | None, typer.Option("--folder", "-o", help="Of the build; default: in the user's cache.", show_default=False)
]


@app.command()
def build(
    dpf: Annotated[Path, typer.Option(help="The DISTRHO Plugin Framework.")] = Path("/usr/share/dpf"),
    folder: _Folder = None,
    windows: Annotated[bool, typer.Option("--windows", help="For Windows, with MinGW: VST3 and CLAP.")] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Compilers at a time; 0: one per core.")] = 0,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what CMake and the compilers say.")] = False,
) -> None:
    """Build the plugins as VST3, LV2 and CLAP."""
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
    worker: Annotated[str, typer.Argument(help="HOST:PORT of the worker's streaming port.")],
    board: Annotated[str, typer.Option(help="A board or instrument there; default: the first that fits.")] = "",
    token: Annotated[str, typer.Option(help="The worker's.", envvar="NEURAL_FX_TOKEN")] = "",
) -> None:
    """Say which worker new instances of the plugins play through (a saved session keeps its own)."""
    from bridge.plugin.building import connect

    print(connect(worker, board, token))


@app.command()
def check(
    folder: _Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
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
            said = ", ".join(f"{name} {value:g}" for name, value in found[bundle.name].items())
            print(f"{bundle.name}: works ({said})")
    if as_json:
        print(json.dumps(found, indent=2))
