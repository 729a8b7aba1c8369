"""What leaves no trace in the calls of a function: kept results, files, clocks, other packages."""

from __future__ import annotations

import ctypes
import functools
import gc
import glob
import linecache
import os
import pprint
import queue
import re
import threading
import time
import uuid
import warnings
import weakref
from decimal import getcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from twins import same

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.compiler import CompileError, refusal

X = tg.tensor([1.0, 2.0])
FACTOR = 1.0
FILE = Path(__file__)


def factor() -> float:
    return FACTOR


def set_factor(k: float) -> None:
    global FACTOR  # noqa: PLW0603  the point
    FACTOR = k


# What is kept of results


def with_kept_results() -> Any:
    n = 1.0

    @functools.lru_cache
    def helper(k: int) -> float:
        return n * k

    def change(k: float) -> None:
        nonlocal n
        n = k
        helper.cache_clear()
        helper(1)

    return (lambda x: x * helper(1)), change


def with_kept_results_of_a_helper() -> Any:
    @functools.cache
    def helper(k: int) -> float:
        return max(factor() * each for each in [k])

    def change(k: float) -> None:
        set_factor(k)
        helper.cache_clear()
        helper(1)

    return (lambda x: x * helper(1)), change


def with_kept_results_of_a_method() -> Any:
    class Held:
        @functools.lru_cache  # noqa: B019  the point
        def helper(self) -> float:
            return factor()

    held = Held()

    def change(k: float) -> None:
        set_factor(k)
        Held.helper.cache_clear()
        held.helper()

    return (lambda x: x * held.helper()), change


def with_kept_results_of_a_model() -> Any:
    class Net(nn.Module):
        @functools.lru_cache  # noqa: B019  the point
        def helper(self) -> float:
            return factor()

        def forward(self, x: Any) -> Any:
            return x * self.helper()

    net = Net()

    def change(k: float) -> None:
        set_factor(k)
        Net.helper.cache_clear()
        net.helper()

    return net, change


# Memory that Python reads


def with_a_memoryview() -> Any:
    held = np.ones(2)
    seen = memoryview(held)
    return (lambda x: x * seen[0]), held.fill


def with_an_array_of_ctypes() -> Any:
    held = (ctypes.c_double * 2)(1.0, 2.0)
    return (lambda x: x * held[0]), lambda k: held.__setitem__(0, k)


def with_a_structure() -> Any:
    class Held(ctypes.Structure):
        _fields_ = (("n", ctypes.c_double),)

    held = Held(1.0)
    return (lambda x: x * held.n), lambda k: setattr(held, "n", k)


# Other packages


def package(source: str, folder: str = "a_package", **there: Any) -> Any:
    """Return a module as if it were installed."""
    made = ModuleType(folder)
    made.__file__ = f"{refusal._SITE[0]}{folder}/made_{len(refusal._kinds)}.py"
    assert refusal.kind_of(made.__file__) == "third"
    vars(made).update(there)
    exec(compile(source, made.__file__, "exec"), vars(made))  # noqa: S102  the point
    return made


def with_a_number_of_a_package() -> Any:
    made = package("scale = 1.0")
    return (lambda x: x * made.scale), lambda k: setattr(made, "scale", k)


def with_a_function_of_a_package() -> Any:
    made = package("scale = 1.0\ndef f(x): return x * scale")
    return (lambda x: made.f(x) + 0), lambda k: setattr(made, "scale", k)


def with_options_of_a_package() -> Any:
    options = SimpleNamespace(scale=1.0)
    made = package("def f(x): return x * options.scale", options=options)
    return (lambda x: made.f(x) + 0), lambda k: setattr(options, "scale", k)


def with_a_model_of_a_package() -> Any:
    source = """
class Net(nn.Module):
    def __init__(self):
        self.options = Options(n=1.0)
    def forward(self, x):
        return x * self.options.n
"""
    net = package(source, nn=nn, Options=SimpleNamespace).Net()
    return (lambda x: net(x) + 0), lambda k: setattr(net.options, "n", k)


def with_a_program_that_is_installed() -> Any:
    source = "def step(x): return helper(x)\ndef helper(x): return x * held.n[0]"
    made = package(source, held=SimpleNamespace(n=[1.0]), folder="a_program")
    return made.step, lambda k: made.held.n.__setitem__(0, k)


NOTICED = (
    *(with_a_model_of_a_package, with_a_program_that_is_installed),
    *(with_kept_results, with_kept_results_of_a_helper, with_kept_results_of_a_method),
    *(with_kept_results_of_a_model, with_a_memoryview, with_an_array_of_ctypes, with_a_structure),
    *(with_a_number_of_a_package, with_a_function_of_a_package, with_options_of_a_package),
)


@pytest.mark.parametrize("made", NOTICED, ids=lambda f: f.__name__)
def test_what_changes_between_calls_is_noticed(made: Any):
    function, change = made()
    compiled = tg.compile(function, backend="numpy")
    for k in (1.0, 3.0, 3.0, 0.0, 5.0):
        change(k)
        same("result", compiled(X), X * k)
        same("the same", compiled(X), function(X))
    count = len(compiled.programs)
    compiled(X)
    assert len(compiled.programs) == count, "what stays as it is needs no other program"
    set_factor(1.0)


def test_the_counts_and_clocks_of_a_package_are_its_own():
    source = (
        "count, cache = 0, {}\n"
        "def f(x):\n"
        "    global count\n"
        "    count += 1\n"
        "    cache[count] = clock()\n"
        "    return x * 2\n"
    )
    made = package(source, clock=time.perf_counter)
    compiled = tg.compile(lambda x: made.f(x) + 0, backend="numpy")
    for _ in range(3):
        same("result", compiled(X), X * 2)
    assert len(compiled.programs) == 1
    assert made.count == 1


# What is refused

opened: Any = None
waiting: Any = queue.SimpleQueue()
jobs: Any = queue.Queue()
flag, lock = threading.Event(), threading.Lock()
REFUSED: dict[str, tuple[Any, str]] = {
    "a size": (lambda x: x * FILE.stat().st_size, "what stat() gives is read inside"),
    "a path that is there": (lambda x: x if os.path.exists("a") else -x, "what stat() gives"),  # noqa: PTH110
    "another": (lambda x: x if Path("a").is_file() else -x, "what stat() gives"),
    "a folder": (lambda x: x * len(os.listdir("/")), "what listdir() gives"),  # noqa: PTH208
    "files": (lambda x: x * len(glob.glob("/*")), "what scandir() gives"),  # noqa: PTH207
    "where one is": (lambda x: x * len(str(Path.cwd())), "what getcwd() gives"),
    "a file's text": (lambda x: x * len(FILE.read_text()), "what open() gives"),
    "numbers in a file": (lambda x: x * np.fromfile(FILE), "what fromfile() gives"),
    "an open file": (lambda x: x * len(opened.readline()), "what readline() gives"),
    "lines": (lambda x: next(x * len(line) for line in opened), "what the file opened gives"),
    "a queue": (lambda x: x * waiting.qsize(), "what qsize() gives"),
    "another queue": (lambda x: x * jobs.qsize(), "what qsize() gives"),
    "an event": (lambda x: x if flag.is_set() else -x, "what is_set() gives"),
    "a lock": (lambda x: x if lock.locked() else -x, "what locked() gives"),
    "the environment": (lambda x: x * len(os.environ), "a variable of the environment"),
    "how NumPy warns": (lambda x: x * len(np.geterr()), "what geterr() gives"),
    "how exact": (lambda x: x * getcontext().prec, "what getcontext() gives"),
    "an id by time": (lambda x: x * (uuid.uuid1().int % 7), "generate_time_safe() tells another"),
    "a folder is made": (lambda x: (x, os.mkdir("a/b"))[0], "what mkdir() does would be done"),  # noqa: PTH102
    "it is removed": (lambda x: (x, Path("a").unlink())[0], "what unlink() does would be done"),
    "printed nicely": (lambda x: (x, pprint.pp({}))[0], "what is printed inside"),
    "a class": (
        lambda x: x if type(x.numpy()) is np.ndarray else -x,
        "type() of an array is not np.ndarray while the function is traced",
    ),
}


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch) -> Any:
    with FILE.open(encoding="utf-8") as made:
        monkeypatch.setitem(globals(), "opened", made)
        yield


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("name", REFUSED)
def test_what_no_program_can_replay_is_refused(name: str):
    function, message = REFUSED[name]
    with pytest.raises(CompileError, match=re.escape(message)) as caught:
        tg.compile(function, backend="numpy")(X)
    assert str(caught.value).startswith(f"{__file__}:"), caught.value


def test_a_class_of_arrays_is_asked_for_by_isinstance():
    def of_a_type(x: Any) -> Any:
        return x if type(x) is np.ndarray else x * 2

    def of_a_kind(x: Any) -> Any:
        return x * 1 if isinstance(x, np.ndarray) else x * 2

    def named(x: Any) -> Any:
        return np.ndarray.__name__, int.__name__, x * 2

    ones = np.ones(2)
    with pytest.raises(CompileError, match=r"is np.ndarray else x \* 2\n.*isinstance\(x, np.ndar"):
        tg.compile(of_a_type, backend="numpy")(ones)
    for function, x in ((of_a_kind, ones), (of_a_kind, X), (named, X)):
        same("result", tg.compile(function, backend="numpy")(x), function(x))


# What is not


def imported(x: Any) -> Any:
    import this_is_imported  # type: ignore[import-not-found]  # noqa: PLC0415

    return x * this_is_imported.two


def warned(x: Any) -> Any:
    linecache.clearcache()
    assert "def factor" in warnings.formatwarning("told", UserWarning, __file__, 37)
    return x * 2


def cleaned_up(x: Any) -> Any:
    gc.collect()
    return x * 2


def opened_before(x: Any) -> Any:
    return x * (2 if opened.readable() else 1)


class Cycle:
    """What only the collector of garbage finds."""

    def __init__(self) -> None:
        self.me = self


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("function", [imported, warned, cleaned_up, opened_before])
def test_what_python_does_for_itself_is_not(
    function: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "this_is_imported.py").write_text("two = 2.0")
    (tmp_path / "folder").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    compiled = tg.compile(function, backend="numpy")
    gc.disable()
    weakref.finalize(Cycle(), os.rmdir, tmp_path / "folder")
    same("result", compiled(X), X * 2)
    assert (tmp_path / "folder").exists() is (function is not cleaned_up)
    gc.enable()
