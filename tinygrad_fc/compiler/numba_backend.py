"""The Numba backend: a program as one native function, and the Python function around it.

Sums are in another order than NumPy's and functions are rounded in their own way, so results agree
to the last digits but not bit for bit; random numbers are the same.

Native code is cached on disk: Numba stores what it has compiled next to the file that the source is
in, so each program has an empty one, named by a hash of all that decides what it compiles to. The
folder is `$TINYGRAD_FC_CACHE` if that is set (empty: nothing is cached), else `tinygrad_fc` in
`$XDG_CACHE_HOME` or `~/.cache`. Files are replaced atomically, so several processes may write at
once; those that do not fit their checksum are compiled again. Where the folder cannot be written
to, or belongs to another user, nothing is cached.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import warnings
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit, types
from numba.core.errors import NumbaError

from tinygrad_fc.compiler import numba_codegen
from tinygrad_fc.compiler.instructions import rng_call
from tinygrad_fc.compiler.ir import GuardFailed, sample_of
from tinygrad_fc.compiler.numba_codegen import TYPES
from tinygrad_fc.compiler.numba_lowering import NoNativeForm
from tinygrad_fc.compiler.numba_printer import NumbaPrinter
from tinygrad_fc.compiler.numpy_printer import NumPyPrinter
from tinygrad_fc.core.pytree import mapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinygrad_fc.compiler.ir import Program

_log = logging.getLogger(__name__)


def build(program: Program) -> Any:
    """Return the kernel of a program; raise `NoNativeForm` where it has no native form.

    Its `source` is the program as NumPy. `steps(count, *inputs)` runs up to `count` steps, with
    stacks of arguments. It returns the number of steps whose guards held, and the outputs: stacks
    of the results, and the gradients of the last step; it is None for programs that draw numbers.
    """
    native, printer = NumbaPrinter(program), NumPyPrinter(program)
    native_call, constants = _compiled(native, printer), tuple(native.constants.values())
    drawing = [_drawing(value, program) for value in native.lowering.draws]
    shapes, dtypes = [v.shape or () for v in program.outputs], [v.dtype for v in program.outputs]
    sizes, kinds = [*native.large.values()], [v.dtype for v in native.large]

    def kernel(*inputs: Any) -> list[Any]:
        outputs = [*map(np.empty, shapes, dtypes)]
        if not native_call((1, *inputs, *outputs, *constants, *map(np.empty, sizes, kinds))):
            raise GuardFailed
        return outputs

    def converting(*inputs: Any) -> list[Any]:
        """Run the kernel with random numbers for generators; return numbers where they are."""
        arrays = [x for x, v in zip(inputs, program.inputs, strict=True) if v.dtype is not None]
        outputs = kernel(*arrays, *(draws(inputs) for draws in drawing))
        pairs = zip(outputs, program.outputs, strict=True)
        return [x.item() if v.shape is None else x for x, v in pairs]

    def steps(count: int, *inputs: Any) -> tuple[int, list[Any]]:
        stacks = [(count, *s) if k in program.returned else s for k, s in enumerate(shapes)]
        outputs = [*map(np.empty, stacks, dtypes)]
        large = map(np.empty, sizes, kinds)
        return native_call((count, *inputs, *outputs, *constants, *large)), outputs

    numbers = any(value.shape is None for value in program.outputs)
    function: Any = converting if drawing or numbers else kernel
    function.source = printer.source()
    function.steps = None if drawing else steps
    return function


def _drawing(value: Any, program: Program) -> Any:
    """Return a function of a program's inputs that draws random numbers from one of them."""
    place = program.inputs.index(value.args[0])
    args, kwargs = mapped(sample_of, (value.args[1:], value.kwargs))
    array = partial(np.asarray, dtype=value.dtype, order="C")
    return lambda inputs: array(rng_call(inputs[place], *args, **kwargs))


# From program to machine code

_CODE = b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))
_VERSION = hashlib.sha256(_CODE).hexdigest()
"""The hash of the source files of the compiler, read at import."""


def _compiled(native: NumbaPrinter, printer: NumPyPrinter) -> Any:
    """Return the native function of a program."""
    file, name = _stored(printer), printer.program.name
    pairs = ((TYPES[value.dtype], value.is_number) for value in native.arguments)
    kinds = [number if is_number else types.CPointer(number) for number, is_number in pairs]
    signature = types.Tuple([types.int64, *kinds])
    _log.info("compiling %s to native code, or loading it", name)
    # Numba looks up the module of what it reads back, so it has to be an existing one.
    space = {"native_call": numba_codegen.native(native.write), "__name__": __name__}
    text = "def steps(arguments): return native_call(arguments)"
    exec(compile(text, file or "<native>", "exec"), space)  # noqa: S102  it is ours
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # dividing by 0 gives what IEEE 754 says, as in NumPy
            with _cached(file):
                decorator = njit([(signature,)], cache=file is not None, error_model="numpy")
                compiled = decorator(space["steps"])
    except NumbaError as error:
        raise NoNativeForm(f"Numba cannot compile {name}: {error!r:.300}") from error
    # the dispatcher, which would choose among several types, takes as long as a small kernel
    (overload,) = compiled.overloads.values()
    return overload.entry_point


@contextmanager
def _cached(file: str | None) -> Iterator[None]:
    """Discard files of `file` that are damaged; note the checksum of those that are stored."""
    if file is None:
        yield
        return
    checksum = Path(file).with_suffix(".sha256")

    def files() -> list[Path]:
        return sorted((checksum.parent / "__pycache__").glob(f"{checksum.stem}.*.nb?"))

    def digest() -> bytes:
        return hashlib.sha256(b"".join(part.read_bytes() for part in files())).digest()

    with suppress(OSError):
        if not checksum.exists() or checksum.read_bytes() != digest():
            for part in files():
                part.unlink(missing_ok=True)
    yield
    with suppress(OSError):
        if not checksum.exists() or checksum.read_bytes() != digest():
            new = checksum.with_suffix(f".{os.getpid()}")
            new.write_bytes(digest())
            new.replace(checksum)


def _key(printer: NumPyPrinter) -> str:
    """Return a text that differs for programs that compile to different code."""
    program = printer.program
    inputs = [(v.source.kind, v.dtype, v.shape, v.strides) for v in program.inputs]
    bound = [
        (x.dtype.str, x.shape, x.tobytes()) if isinstance(x, np.ndarray) else x.__qualname__
        for x in printer.bound.values()
    ]
    versions = sys.version, np.__version__, np.__file__, _VERSION
    return repr((versions, printer.source(), inputs, bound, program.returned))


def _stored(printer: NumPyPrinter) -> str | None:
    """Return the path of the file that names a program, written if missing; None: not cached."""
    variable = os.environ.get("TINYGRAD_FC_CACHE")
    if variable == "":
        return None
    key = hashlib.sha256(_key(printer).encode()).hexdigest()[:32]
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        folder = Path(variable or f"{caches}/tinygrad_fc").expanduser().absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Cached code is executed: files that another user can write must not be.
        status = folder.stat()
        if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
            return None
        file = folder / f"step_{key}.py"
        with suppress(FileExistsError):  # Numba compares the time of the file
            file.touch(exist_ok=False)
    except (OSError, RuntimeError):
        return None
    return str(file)
