"""The documentation site: `sphinx-build -W docs docs/_build`."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from latex2mathml.converter import convert

import tinygrad_fc as tg
from tinygrad_fc import nn, optim, viz

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent

project = "tinygrad_fc"
author = copyright = "tinygrad_fc contributors"  # noqa: A001  Sphinx reads this name
version = release = tg.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "conf.py", "jupyter_execute"]
html_theme = "furo"
html_title = "tinygrad_fc"
html_static_path = ["_static", "../tinygrad_fc/viz/math.woff2"]
html_css_files = ["site.css"]
html_copy_source = False

# Formulas are MathML and widgets are left out: no page asks another host for a script.
html_math_renderer = "mathml"
nb_ipywidgets_js: dict[str, Any] = {}
myst_enable_extensions = ["dollarmath", "colon_fence"]

nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_output_stderr = "remove-warn"
nb_mime_priority_overrides = [("html", "image/svg+xml", 0)]

default_role = "code"
autodoc_typehints = "none"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"


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


def setup(app: Sphinx) -> None:
    """Copy the course, which is part of the examples, to where Sphinx looks for it."""
    write_page(HERE / "_static/backprop.html")
    shutil.copytree(HERE.parent / "examples/course", HERE / "course", dirs_exist_ok=True)
    app.add_html_math_renderer(
        "mathml", inline_renderers=(visit_math, None), block_renderers=(visit_math, None)
    )
    app.connect("autodoc-process-docstring", escape_stars)
