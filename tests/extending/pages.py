"""Take the files and the examples out of a page of `docs/extending`, and install them as a package would be."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "extending"
_BLOCK = re.compile(
    r"(?:^`(?P<name>[\w./-]+)`:\n\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass
class Page:
    """What a page shows.

    Attributes:
        files: texts by name: blocks after a line with a file name.
        examples: the other blocks of Python, in their order.
        commands: the lines of the blocks of shell commands.
    """

    files: dict[str, str] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def changed(self, name: str, text: str) -> Page:
        """Return a copy of the page in which a file has another text."""
        return replace(self, files={**self.files, name: text})


@dataclass(frozen=True)
class Installed:
    """A page's package, installed, and a folder to work in.

    Attributes:
        packages: folder with the installed package.
        work: the working directory, with the other files of the page.
    """

    packages: Path
    work: Path

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run Python code in a process of its own, as `python`."""
        return python(code, self.packages, self.work)

    def command(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        """Run `neural-fx` with arguments, as `command`."""
        return command(arguments, self.packages, self.work)


def install_page(page: Page, work: Path) -> Installed:
    """Install a page's package, and write the other files of the page to a folder.

    Args:
        page: the page.
        work: the folder. The package goes to its folder `packages`.
    """
    install(page, work / "packages")
    for name, text in page.files.items():
        if not name.endswith((".py", ".toml")):
            (work / name).write_text(text, encoding="utf-8")
    return Installed(work / "packages", work)


def read_page(name: str) -> Page:
    """Read a page of `docs/extending`."""
    page = Page()
    for block in _BLOCK.finditer((DOCS / name).read_text(encoding="utf-8")):
        if block["name"]:
            page.files[block["name"]] = block["text"]
        elif block["language"] == "python":
            page.examples.append(block["text"])
        elif block["language"] in ("sh", "bash"):
            page.commands += [line for line in block["text"].splitlines() if line and not line.startswith("#")]
    return page


def install(page: Page, folder: Path) -> None:
    """Put a page's files into a folder as pip would: modules, and metadata with the entry points."""
    folder.mkdir(parents=True, exist_ok=True)
    project = tomllib.loads(page.files["pyproject.toml"])["project"]
    for name, text in page.files.items():
        if name.endswith(".py"):
            (folder / name).write_text(text, encoding="utf-8")
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, members in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {place}" for name, place in members.items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")


def python(code: str, packages: Path, work: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own.

    Args:
        code: the code.
        packages: folder with installed packages.
        work: the working directory.
    """
    root = Path(__file__).parents[2]
    path = os.pathsep.join((str(packages), str(root)))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=work,
        env=environment,
        timeout=300,
        check=False,
    )


def command(arguments: list[str], packages: Path, work: Path) -> subprocess.CompletedProcess[str]:
    """Run `neural-fx` with arguments; otherwise as `python`."""
    return python(
        f"import sys; sys.argv = {['neural-fx', *arguments]!r}; from bridge.cli import main; main()", packages, work
    )


def printing_warnings(code: str) -> str:
    """Return Python code that runs other code, and then prints each warning of it on a line."""
    body = textwrap.indent(code, "    ")
    return (
        "import warnings\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        f"{body}\n"
        "for warning in caught: print(warning.message)\n"
    )
