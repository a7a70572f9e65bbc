"""Settings of the documentation: `sphinx-build -W docs build/docs`."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import generate  # noqa: E402

import neural_fx  # noqa: E402

project = "Neural FX"
author = "the Neural FX authors"
copyright = "the Neural FX authors"
release = version = neural_fx.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["generated/*"]  # included by other pages
suppress_warnings = ["misc.highlighting_failure"]  # bridge/PROTOCOL.md names messages after its code fences

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

default_role = "py:obj"  # docstrings put code between single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "Neural FX"
html_static_path = ["_static"]

generate.write_all(HERE / "generated")


_NUMPY_ARRAY = re.compile(
    r"~?numpy\.ndarray\[~?tuple\[~?(?:typing\.)?Any, \.\.\.\], ~?numpy\.dtype\[~?numpy\.(\w+)\]\]"
)


def own_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, annotation: str | None
) -> tuple[str | None, str | None]:
    """Show the arguments of a class's `__init__` and short names for arrays.

    Our classes have a metaclass, and autodoc would show the arguments of its `__call__`.

    Args:
        app: the Sphinx application.
        what: kind of object, such as ``class``.
        name: full name of the object.
        obj: the object.
        options: of the directive.
        signature: the signature that autodoc would show; None for none.
        annotation: the returned type that autodoc would show; None for none.

    Returns:
        Signature and annotation to show.
    """
    if what == "class" and getattr(obj, "_is_protocol", False):
        return None, annotation
    if what == "class" and signature is not None and inspect.isfunction(obj.__init__):
        parameters = list(inspect.signature(obj.__init__).parameters.values())[1:]
        signature = stringify_signature(inspect.Signature(parameters), unqualified_typehints=True)
    short = [None if text is None else _NUMPY_ARRAY.sub(r"NDArray[\1]", text) for text in (signature, annotation)]
    return short[0], short[1]


def without_type(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Start the text of a property with an empty line.

    Napoleon takes the words before a colon in the first line for a type.

    Args:
        app: the Sphinx application.
        what: kind of object, such as ``property``.
        name: full name of the object.
        obj: the object.
        options: of the directive.
        lines: lines of the docstring, which are changed in place.
    """
    if what == "property":
        lines.insert(0, "")


def setup(app: Sphinx) -> None:
    """Connect the hooks. Sphinx calls this."""
    app.connect("autodoc-process-signature", own_signature)
    app.connect("autodoc-process-docstring", without_type, priority=400)
