"""Functions of Python's that tell something else in every call, or that do something out there.

What they give is no value of a tensor, so a program would keep that of the first call; what they
do, only the first call would do. The interpreter tells of every call while a trace runs: those of
the user's code, and those that Python's own code makes for it.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

from tinygrad_fc.compiler.refusal import kind_of, line, refusal
from tinygrad_fc.compiler.session import tracing

if TYPE_CHECKING:
    from types import FrameType

_READ = {
    **dict.fromkeys(
        ("posix", "nt"),
        (
            *("stat", "lstat", "fstat", "statvfs", "listdir", "scandir", "access", "readlink"),
            *("getcwd", "getcwdb", "open", "read", "readv", "pread", "getxattr", "getloadavg"),
            *("_path_exists", "_path_lexists", "_path_isfile", "_path_isdir", "_path_islink"),
            *("times", "get_terminal_size", "sched_getaffinity"),
        ),
    ),
    "_io": ("open", "open_code"),
    "builtins": ("input",),
    "numpy": ("fromfile",),
    "decimal": ("getcontext",),
    "sys": ("getrecursionlimit",),
}
_DONE = {
    **dict.fromkeys(
        ("posix", "nt"),
        (
            *("mkdir", "rmdir", "remove", "unlink", "rename", "replace", "link", "symlink"),
            *("chdir", "chmod", "chown", "truncate", "utime", "write", "writev", "system", "fork"),
            *("putenv", "unsetenv", "posix_spawn", "posix_spawnp", "kill", "startfile"),
        ),
    ),
    "_posixsubprocess": ("fork_exec",),
    "_winapi": ("CreateProcess",),
}
_CLOCKS = {
    "time": (
        *("time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns"),
        *("process_time", "process_time_ns", "thread_time", "thread_time_ns", "clock_gettime"),
        *("clock_gettime_ns", "localtime", "gmtime", "ctime", "strftime"),
    ),
    "_uuid": ("generate_time_safe", "UuidCreate"),
}
_DATES = ("now", "utcnow", "today")
_OF_FILES = ("read", "read1", "readinto", "readall", "readline", "readlines", "peek", "getvalue")
_OF_LOCKS = ("locked", "get", "get_nowait", "put", "put_nowait", "qsize", "empty")
_STATEFUL = ("_thread", "_queue", "_contextvars")
_IN_MEMORY = (io.StringIO, io.BytesIO)
"""Files that Python's own code makes for its own use."""
_PRINTED = (
    "what is printed inside of the function would be printed by its first call only.",
    (
        "Return what is to be seen, and print it outside of the compiled function; to look for a "
        "mistake, {name}.__wrapped__(...) runs it as it is written, and prints."
    ),
)
_SAVED = (
    "what is saved inside of the function would be saved by its first call only.",
    "Call save() outside of the compiled function, after the steps whose results it is to keep.",
)
_IN_PYTHON = {
    **dict.fromkeys(
        (("os", f"_Environ.{name}") for name in ("__getitem__", "__iter__", "__len__")),
        "a variable of the environment",
    ),
    **{("queue", f"Queue.{name}"): f"what {name}() gives" for name in _OF_LOCKS},
    ("threading", "Event.is_set"): "what is_set() gives",
    ("threading", "active_count"): "what active_count() gives",
    ("numpy._core._ufunc_config", "geterr"): "what geterr() gives",
    ("numpy._core.arrayprint", "get_printoptions"): "what get_printoptions() gives",
}
"""Functions that are Python's or NumPy's, in Python: their modules and names, and what is read."""
_ON_ITS_OWN = frozenset(
    (
        *("importlib._bootstrap", "importlib._bootstrap_external", "importlib", "zipimport"),
        *("warnings", "linecache", "tokenize", "traceback", "inspect", "weakref", "logging"),
    )
)
"""Modules which read files of code, for an import or a warning, or which clean up, or tell when."""


def asking(frame: FrameType | None) -> FrameType | None:
    """Return the frame of the user's code that asks, itself or through Python's own code.

    None where Python's code runs on its own account, or that of another package, whose clocks and
    caches are its own business.
    """
    while frame is not None and kind_of(frame.f_code.co_filename) == "other":
        if frame.f_globals.get("__name__") in _ON_ITS_OWN or frame.f_code.co_name == "__del__":
            return None
        frame = frame.f_back
    return frame if frame is not None and kind_of(frame.f_code.co_filename) == "user" else None


class Impure:
    """Knows the functions that no program can replay, and refuses their calls."""

    def __init__(self) -> None:
        self._told: dict[Any, tuple[str, str]] = {}
        for told, table in ((_read, _READ), (_done, _DONE), (_clock, _CLOCKS)):
            for module, names in table.items():
                held = vars(sys.modules.get(module, object))
                self._told.update({held[n]: told(n, module) for n in names if n in held})

    def called(self, frame: FrameType) -> None:
        """Take note of the call of a function in Python, which is not the user's."""
        module, name = str(frame.f_globals.get("__name__")), frame.f_code.co_qualname
        if module == "logging" and frame.f_code.co_name == "handle":
            # As a warning is not refused, which is given once in any case.
            _refuse(_out_of(frame, module), _PRINTED)
        elif module == "tinygrad_fc.serialization" and name == "save":
            _refuse(frame.f_back, _SAVED)
        elif (module, name) in _IN_PYTHON:
            _refuse(frame, kept(_IN_PYTHON[module, name]))

    def called_c(self, frame: FrameType, function: Any) -> None:
        """Take note of the call of a function in C."""
        name, of = getattr(function, "__name__", ""), getattr(function, "__self__", None)
        users = kind_of(frame.f_code.co_filename) == "user"
        if function in self._told:
            _refuse(frame, self._told[function])
        elif function is print:
            _refuse(frame, _PRINTED)
        elif name in _DATES and getattr(of, "__module__", "") == "datetime":
            _refuse(frame, _clock(name, "datetime"))
        elif users and (name == "__subclasses__" or _is_of_lock(name, of)):
            _refuse(frame, _read(name))
        elif isinstance(of, io.IOBase) and (users or not isinstance(of, _IN_MEMORY)):
            if name in _OF_FILES:
                _refuse(frame, _read(name))
            elif name in ("write", "writelines"):
                _refuse(frame, _PRINTED if isinstance(of, io.TextIOBase) else _done(name))


def _is_of_lock(name: str, of: Any) -> bool:
    return name in _OF_LOCKS and type(of).__module__ in _STATEFUL


def _out_of(frame: FrameType | None, module: str) -> FrameType | None:
    while frame is not None and frame.f_globals.get("__name__") == module:
        frame = frame.f_back
    return frame


def _refuse(frame: FrameType | None, told: tuple[str, str]) -> None:
    by = asking(frame)
    if by is not None:
        what, advice = told
        raise refusal(what, advice.replace("{name}", _spoken()), line(by))


def _spoken() -> str:
    """Return how to speak of the function that is compiled."""
    name = tracing().program.name
    return name if name.isidentifier() else "compiled"


def kept(what: str) -> tuple[str, str]:
    """Return what is told of something that is read, and what to do instead."""
    return (
        f"{what} is read inside of the function, and would be that of its first call for ever.",
        "Read it outside of the compiled function, and hand it over.",
    )


def _read(name: str, _: str = "") -> tuple[str, str]:
    return kept(f"what {name}() gives")


def _done(name: str, _: str = "") -> tuple[str, str]:
    return (
        f"what {name}() does would be done by the first call of the function only.",
        "Do it outside of the compiled function.",
    )


def _clock(name: str, module: str) -> tuple[str, str]:
    return (
        f"{module}.{name}() tells another value in every call, which the program would not.",
        "Call it outside of the compiled function.",
    )
