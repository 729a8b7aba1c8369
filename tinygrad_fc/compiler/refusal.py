"""What cannot be compiled: the error, and the line of the user's code that it names."""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler.program import CompileError
from tinygrad_fc.compiler.session import tracing

if TYPE_CHECKING:
    from types import FrameType

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120  of every frame
_PACKAGE = os.path.dirname(_HERE[:-1]) + os.sep  # noqa: PTH120  as above
_NUMPY = os.path.dirname(os.path.abspath(np.__file__)) + os.sep  # noqa: PTH100, PTH120  as above
_PYTHON = sysconfig.get_path("stdlib") + os.sep
_SITE = tuple(sysconfig.get_path(name) + os.sep for name in ("purelib", "platlib"))
_kinds: dict[str, str] = {}
_adopted: list[str] = []

CONVERSIONS = frozenset(
    (
        *("item", "tolist", "numpy", "__float__", "__int__", "__index__", "__bool__", "__array__"),
        *("__contains__", "__repr__", "__format__", "__len__", "__iter__", "text", "_plain"),
    )
)
"""Methods of a tensor that hand its values out: whoever calls them is who asks."""


class UnknownError(CompileError):
    """Something that the tracer cannot note down piece by piece, though perhaps as a whole."""


def kind_of(filename: str) -> str:
    """Return whose code is in a file.

    "compiler", "library", "other" (NumPy, Python), "third" (another package) or "user".
    """
    kind = _kinds.get(filename)
    if kind is None:
        if filename.startswith(_HERE):
            kind = "compiler"
        elif filename.startswith(_PACKAGE):
            kind = "library"
        elif filename.startswith((_NUMPY, "<frozen")):
            kind = "other"
        elif filename.startswith(_SITE):
            kind = "user" if filename.startswith(tuple(_adopted)) else "third"
        else:
            kind = "other" if filename.startswith(_PYTHON) else "user"
        _kinds[filename] = kind
    return kind


def adopt(filename: str) -> None:
    """Take the package that a file belongs to, where that is installed, for the user's own.

    Who has installed a program, and runs it, compiles functions of that package.
    """
    if kind_of(filename) != "third":
        return
    site = max((path for path in _SITE if filename.startswith(path)), key=len)
    package = site + filename[len(site) :].split(os.sep, maxsplit=1)[0]
    _kinds.update({name: "user" for name in _kinds if name.startswith(package)})
    _adopted.append(package)


def asker() -> str:
    """Return whose code asks for a value just now: "library" or "user"."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        kind = kind_of(frame.f_code.co_filename)
        if kind in ("user", "third"):
            return "user"
        if kind == "library" and frame.f_code.co_name not in CONVERSIONS:
            return "library"
        frame = frame.f_back
    return "user"


_ASKED = {
    "__bool__": "if",
    "__float__": "float()",
    "__int__": "int()",
    "__index__": "its use as an index or a count",
    "tolist": "tolist()",
    "__array__": "NumPy",
    "__contains__": "in",
    "__format__": "print",
}


def asked_by(otherwise: str) -> str:
    """Return the way in which the user's code asks for a value: the outermost conversion."""
    frame: FrameType | None = sys._getframe(1)
    found = otherwise
    while frame is not None and kind_of(frame.f_code.co_filename) not in ("user", "third"):
        found = _ASKED.get(frame.f_code.co_name, found)
        frame = frame.f_back
    return found


def user_frame() -> FrameType | None:
    """Return the innermost frame of the user's code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and kind_of(frame.f_code.co_filename) != "user":
        frame = frame.f_back
    return frame


def asserted() -> bool:
    """Tell whether the line of the user's code that runs now is an assertion."""
    frame = user_frame()
    if frame is None:
        return False
    code = frame.f_code
    text = linecache.getline(code.co_filename, frame.f_lineno, frame.f_globals)
    return text.split("(")[0].split()[:1] == ["assert"]


def place() -> str:
    """Return the line of the user's code that runs now: `file:line: text`."""
    frame = user_frame()
    return line(frame) if frame is not None else "an unknown line"


def refuse_to_catch() -> None:
    """Refuse, when the function has run, that it catches an error which is about to be raised.

    For one that hangs on values, and tells them: nothing else in the program goes by them.
    """
    refusal(
        "an error that depends on values is caught inside of the function, and what is done then "
        "would be done in every call.",
        "Catch it outside of the compiled function.",
    )


def refuse_made(module: Any, name: str) -> None:
    """Refuse that a module gets a tensor of the trace while it is made, as parameters are."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and kind_of(frame.f_code.co_filename) == "compiler":
        frame = frame.f_back
    made, by = None, None
    while frame is not None and kind_of(frame.f_code.co_filename) != "compiler":
        code, there = frame.f_code, frame.f_locals
        of = there.get(code.co_varnames[0]) if code.co_name == "__init__" else None
        if of is module or (made is not None and hasattr(of, "named_parameters")):
            made, by = of, frame.f_back
        frame = frame.f_back
    if made is None:
        return
    while by is not None and kind_of(by.f_code.co_filename) not in ("user", "compiler"):
        by = by.f_back
    raise refusal(
        f"a {type(made).__name__} is made inside of the function: its {name} would be made anew "
        "in every call, and nothing would be learned.",
        "Make it outside of the compiled function, and call it inside; or call its function in "
        "nn.functional, which takes tensors as they are.",
        line(by) if by is not None else None,
    )


def line(frame: FrameType) -> str:
    """Return the line that `frame` is at: `file:line: text`."""
    return line_of(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)


def line_of(name: str, number: int, names: Any = None) -> str:
    """Return a line of a file: `file:line: text`."""
    text = linecache.getline(name, number, names).strip()
    return f"{name}:{number}" + (f": {text}" if text else "")


def refusal(what: str, advice: str, at: str | None = None, kind: Any = CompileError) -> Any:
    """Return the error for `what` cannot be compiled, with the line and what to do."""
    error = kind(f"{at or place()}\n{what} {advice}")
    watch = tracing()
    if watch is not None and watch.refused is None and kind is CompileError:
        watch.refused = error  # which the function may catch
    return error
