"""The documentation site: `sphinx-build -W docs docs/_build`."""

from __future__ import annotations

import os
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jupytext
from docutils import nodes
from latex2mathml.converter import convert
from nbformat.v4 import new_markdown_cell
from sphinx.ext.autosummary import autosummary_toc
from sphinx.util.inspect import signature, stringify_signature

import tinygrad_fc as tg
from tinygrad_fc import nn, optim, viz

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.append(str(HERE))

import exercises  # noqa: E402  beside this file

project = "tinygrad_fc"
author = copyright = "tinygrad_fc contributors"  # noqa: A001  Sphinx reads this name
version = release = tg.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "_notebooks", "_templates", "conf.py", "jupyter_execute"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = "tinygrad_fc"
html_static_path = ["_static", "../tinygrad_fc/viz/math.woff2"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_extra_path = ["_notebooks"]  # to download
html_copy_source = False

# Formulas are MathML and widgets are left out: no page asks another host for a script.
html_math_renderer = "mathml"
nb_ipywidgets_js: dict[str, Any] = {}
myst_enable_extensions = ["dollarmath", "colon_fence"]

os.environ.pop("MPLBACKEND", None)  # notebooks show their figures
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_output_stderr = "remove"  # checks on a slow machine warn that their time was up
nb_mime_priority_overrides = [("html", "image/svg+xml", 0)]

default_role = "code"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"


# The formulas and vjp rules of ops, for the pages of functions.
autosummary_context = {
    "formulas": {
        f"{place.__name__}.{name}": viz.explain(op)
        for place in (tg, nn.functional)
        for name in dir(place)
        if isinstance(op := getattr(place, name), tg.Op)
    }
}
autosummary_ignore_module_all = False


def visit_math(self: Any, node: Any) -> None:
    """Write a formula as MathML."""
    display = "inline" if isinstance(node, nodes.math) else "block"
    self.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def escape_stars(*arguments: Any) -> None:
    """Escape the stars and bars that docstrings have outside of code: they are no markup."""
    lines, example = arguments[-1], False
    for i, line in enumerate(lines):
        example = bool(line) and (example or line.lstrip().startswith(">>>"))
        if not example:
            parts = re.split(r"(`[^`]*`)", line)
            parts[::2] = [re.sub(r"(?<!\\)([*|]|_\b)", r"\\\1", part) for part in parts[::2]]
            # A letter after code, as in `Subset`s, needs a separator that is not shown.
            lines[i] = re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", "".join(parts))


def types_of_op(*event: Any) -> tuple[str, str] | None:
    """Return the signature of an op with its types, which `inspect.signature` leaves out."""
    op = event[3]
    if not isinstance(op, tg.Op):
        return None
    parameters, _, result = stringify_signature(signature(vars(op)["__wrapped__"])).partition(
        " -> "
    )
    return parameters, result


def leave_out_of_the_sidebar(_: Sphinx, document: nodes.document) -> None:
    """Leave the pages of functions out of the sidebar, which every page would repeat."""
    for tree in list(document.findall(autosummary_toc)):
        tree.parent.remove(tree)


def write_page(path: Path) -> None:
    """Write the page of the document's network, which the start page embeds."""
    tg.manual_seed(1)
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise([1, 8, 5, 3, 1]):
        layers += [nn.Linear(n_in, n_out), nn.Sigmoid()]
    model, criterion = nn.Sequential(*layers), nn.MSELoss(reduction="batchmean")
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)

    @tg.compile(backend="numpy")
    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    x = tg.linspace(-7, 7, 40).reshape(-1, 1)
    y = (x.cos() + 1) / 2
    step(x, y)
    viz.page(step, x, y, path)


def write_notebooks(site: Path, downloads: Path) -> None:
    """Write the chapters of the course, which are scripts, as notebooks.

    Those of the site have a form below each exercise, or a link to the notebook.
    """
    for folder in (site, downloads):
        folder.mkdir(parents=True, exist_ok=True)
    for script in (HERE.parent / "examples/course").glob("*.py"):
        notebook = jupytext.read(script)
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        notebook.metadata.language_info = {"name": "python"}
        jupytext.write(notebook, downloads / f"{script.stem}.ipynb")
        known = exercises.conditions(script.read_text("utf-8"))
        cells = []
        for cell in notebook.cells:
            cells.append(cell)
            asked = re.search(
                r"^answer = \.\.\.(?:  # (.*))?\ncheck\((\d+)", cell.source, re.MULTILINE
            )
            if asked and cell.cell_type == "code":
                number = int(asked[2])
                html = exercises.form(number, known[number], asked[1], f"{script.stem}.ipynb")
                cells.append(new_markdown_cell(html))
        notebook.cells = cells
        jupytext.write(notebook, site / f"{script.stem}.ipynb")


def correct_back_links(app: Sphinx, _: Exception | None) -> None:
    """Let pages of source code link to the names that the reference has.

    `viewcode` uses one module for all names of a file, though the reference may have them in two.
    """
    link = re.compile(r"(generated/([\w.]*\.)(\w+)\.html#)(?!\2\3\b)[\w.]*?\.\3\b")
    for path in Path(app.outdir, "_modules").rglob("*.html"):
        path.write_text(link.sub(r"\1\2\3", path.read_text("utf-8")), "utf-8")


def setup(app: Sphinx) -> None:
    """Write what the site shows, and set how it is shown."""
    write_page(HERE / "_static/backprop.html")
    write_notebooks(HERE / "course", HERE / "_notebooks/course")
    app.add_html_math_renderer(
        "mathml", inline_renderers=(visit_math, None), block_renderers=(visit_math, None)
    )
    app.connect("autodoc-process-docstring", escape_stars)
    app.connect("autodoc-process-signature", types_of_op)
    app.connect("doctree-read", leave_out_of_the_sidebar, priority=0)
    app.connect("build-finished", correct_back_links)
