"""Write the generated parts of the documentation: parameter tables, data cards, the help of every command.

python docs/generate.py FOLDER
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer

from bridge import limits
from bridge.cli import app
from bridge.commands import COMMANDS, Argument
from instruments import DDSP, Instrument, Latent
from neural_fx.native_ranges import NATIVE
from neural_fx.parameters import Parameter
from neural_fx.pedals import PEDALS
from neural_fx.render import RUNNERS
from neural_fx.timbre import TIMBRES, TimbreTransfer, timbre_card


def write_all(folder: Path) -> None:
    """Write every generated page into a folder.

    Args:
        folder: made if it does not exist. Files whose text has not changed keep their time.
    """
    pages = {
        "native.md": native_plugins(),
        "pedals.md": pedals(),
        "timbre.md": parameter_table(TimbreTransfer.PARAMETERS),
        "instrument.md": parameter_table(Instrument.PARAMETERS),
        "ddsp.md": parameter_table(p for p in DDSP.PARAMETERS if p not in Instrument.PARAMETERS),
        "latent.md": parameter_table(p for p in Latent.PARAMETERS if p not in Instrument.PARAMETERS),
        "commands.md": commands(),
        "runners.md": runners(),
        "osc-worker.md": osc_commands("worker", "connection"),
        "osc-boards.md": osc_commands("board", "any"),
        "osc-notes.md": osc_commands("notes"),
        "pedal-cards.md": pedal_cards(),
        "timbre-cards.md": timbre_cards(),
        "limits.md": limit_tables(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        page = folder / name
        if not page.is_file() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def parameter_table(parameters: Iterable[Parameter]) -> str:
    """Return a Markdown table of parameters."""
    rows = [
        f"| `{p.name}` | {p.minimum:g} to {p.maximum:g} | {p.default:g} | {p.unit} | {p.description} |"
        for p in parameters
    ]
    if not rows:
        return "No parameters.\n"
    return "\n".join(["| parameter | range | default | unit | what it does |", "|---|---|---|---|---|", *rows]) + "\n"


def osc_commands(*scopes: str) -> str:
    """Return a Markdown table of the remote commands of some scopes."""
    rows = [
        f"| `{command.address}` | {', '.join(map(_osc_argument, command.arguments))} | {_cell(command.help)} |"
        for command in COMMANDS
        if command.scope in scopes
    ]
    if not rows:
        return ""
    return "\n".join(["| address | arguments | what it does |", "|---|---|---|", *rows]) + "\n"


def _osc_argument(argument: Argument) -> str:
    span = "" if argument.minimum is None else f"{argument.minimum:g} to {argument.maximum:g}"
    notes = ", ".join(note for note in ("optional" if argument.optional else "", span) if note)
    return f"{_cell(argument.name)} ({notes})" if notes else _cell(argument.name)


def runners() -> str:
    """Return a Markdown table of the runners of renders."""
    rows = [f"| `{runner.name}` | {_cell(runner.help)} |" for runner in RUNNERS]
    return "\n".join(["| runner | how files are rendered |", "|---|---|", *rows]) + "\n"


def limit_tables() -> str:
    """Return a section with a table for each section of `bridge.limits`."""
    source = inspect.getsource(limits)
    titles = dict(_titles(source))
    statements = ast.parse(source).body
    parts: list[str] = []
    for statement, text in pairwise(statements):
        if isinstance(statement, ast.Assign) and isinstance(text, ast.Expr):
            above = max(number for number in titles if number < statement.lineno)
            if title := titles.get(above):
                parts += ["", f"## {title}", "", "| name | limit | what it limits |", "|---|---|---|"]
                titles[above] = ""
            name = ast.unparse(statement.targets[0])
            parts.append(f"| `{name}` | {getattr(limits, name):,} | {_cell(ast.literal_eval(text.value))} |")
    return "\n".join(parts[1:]) + "\n"


def _titles(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line number and the title of each section of a module."""
    for number, line in enumerate(source.splitlines(), 1):
        if match := re.fullmatch(r"# -- (.+?) -+", line):
            yield number, match[1]


def native_plugins() -> str:
    """Return a section for each of pedalboard's own plugins."""
    return "\n".join(f"### {name}\n\n{parameter_table(table)}" for name, table in NATIVE.items())


def pedals() -> str:
    """Return a section for each bundled pedal."""
    parts = []
    for slug, kind in PEDALS.items():
        title = kind.card()["title"]
        parts.append(f"### {slug}\n\n{title}.\n\n{parameter_table(kind().parameters.values())}")
    return "\n".join(parts)


def pedal_cards() -> str:
    """Return what each bundled pedal models, and from which data."""
    parts = []
    for slug, kind in PEDALS.items():
        card = kind.card()
        rows = {
            "models": card["models"],
            "origin": card["origin"],
            "network": card["architecture"],
            "recordings": card["data"]["audio"],
            "licence of the data": card["data"]["licence"],
            "made by": f"`{card['training']['command']}`",
        }
        parts.append(_card(slug, card["title"], rows))
    return "\n".join(parts)


def timbre_cards() -> str:
    """Return from which recordings each bundled timbre was learned."""
    parts = []
    for name in TIMBRES:
        card = timbre_card(name)
        rows = {
            "recordings": card["data"],
            "licence of the data": card["licence"],
            "network": card["architecture"],
            "made by": f"`{card['training']['command']}`",
        }
        parts.append(_card(name, card["recordings"], rows))
    return "\n".join(parts)


def _card(name: str, title: str, rows: dict[str, str]) -> str:
    lines = [f"### {name}", "", f"{title}.", "", "| | |", "|---|---|"]
    lines += [f"| {field} | {_cell(text)} |" for field, text in rows.items()]
    return "\n".join([*lines, ""])


def commands() -> str:
    """Return a section for each command, with its options."""
    root = typer.main.get_command(app)
    return "\n".join(_command(path, command) for path, command in _walk(root, "neural-fx"))


def _walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", {})
    if not children:
        yield path, command
    for name, child in children.items():
        yield from _walk(child, f"{path} {name}")


def _command(path: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join([path, "[OPTIONS]", *(_usage(argument) for argument in arguments)])
    lines = [f"## {path}", "", _one_paragraph_per_break(command.help or ""), "", "```text", usage, "```", ""]
    if arguments:
        lines += ["| argument | |", "|---|---|"]
        lines += [f"| `{argument.name}` | {_cell(argument.help)} |" for argument in arguments]
        lines.append("")
    if options:
        lines += ["| option | default | |", "|---|---|---|"]
        lines += [f"| {_names(option)} | {_default(option)} | {_cell(option.help)} |" for option in options]
        lines.append("")
    return "\n".join(lines)


def _usage(argument: Any) -> str:
    name = argument.name.upper()
    return f"{name}..." if argument.nargs == -1 or argument.multiple else name


def _names(option: Any) -> str:
    return ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def _default(option: Any) -> str:
    if option.required:
        return "required"
    value = option.default
    if value is None or value is False or value in ("", [], ()) or callable(value):
        return ""
    return f"`{value}`"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "&lt;")


def _one_paragraph_per_break(text: str) -> str:
    return "\n\n".join(_cell(paragraph) for paragraph in text.replace("\f", "").split("\n\n"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the tables are written")
    write_all(parser.parse_args().folder)
