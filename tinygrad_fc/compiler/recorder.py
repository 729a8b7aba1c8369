"""Notes down what is done to tracers, as the instructions of a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.compiler import known
from tinygrad_fc.compiler.notes import Notes, called
from tinygrad_fc.compiler.number import Number
from tinygrad_fc.compiler.program import CompileError, Part
from tinygrad_fc.compiler.refusal import asserted, refusal, refuse_to_catch
from tinygrad_fc.compiler.tracer import Tracer
from tinygrad_fc.op import Op

if TYPE_CHECKING:
    from collections.abc import Sequence

_NO_VALUES = (CompileError, AttributeError)
_BY_VALUES = (IndexError, ArithmeticError, np.linalg.LinAlgError)
"""Errors of NumPy's that tell of values; most others tell of shapes and dtypes."""


class Recorder(Notes):
    """How operations on tracers are written into the program."""

    def emit(
        self, kind: str, function: Any, operands: Sequence[Any], settings: dict[str, Any]
    ) -> Any:
        """Note down one instruction; an error that values may be the reason of is not for a try."""
        try:
            return super().emit(kind, function, operands, settings)
        except _NO_VALUES:
            raise
        except Exception as error:
            if kind == "call" or function is np.power or isinstance(error, _BY_VALUES):
                refuse_to_catch()
            raise

    def _refused(self, what: str, asked: str) -> Any:
        if asked == "if" and asserted():
            return refusal(
                f"{what}: the assertion is about values, which differ from call to call.",
                "Return it, and check it outside of the compiled function.",
            )
        return super()._refused(what, asked)

    # Views

    def view(self, kind: str, operands: Sequence[Any], settings: dict[str, Any]) -> Tracer:
        """Note down what may be a view of the first operand, and link the two if it is."""
        of = operands[0]
        made: Tracer = self.emit(kind, None, operands, settings)
        if np.may_share_memory(made._shadow, of.shadow) or kind == "expand":
            self._linked(made, of, (kind, None, settings, tuple(operands[1:])))
        made._scalar |= of._scalar and not made.ndim
        return made

    def _linked(self, made: Tracer, of: Tracer, how: Any) -> None:
        made._parent, made._how, made._seen = of, how, of._version

    def emit_like(self, of: Tracer, how: Any) -> Tracer:
        """Make a view anew, after what it is a view of has changed."""
        kind, function, settings, others = how
        return self.emit(kind, function, (of, *others), settings)  # type: ignore[no-any-return]

    def write_through(self, view: Tracer, new: Tracer) -> None:
        """Write the new value of a view into what it is a view of."""
        of, (kind, function, settings, others) = view._parent, view._how
        if kind == "getitem":
            whole = self.emit("put", None, (of, new, *others), {"at": known.later(settings["at"])})
        elif kind == "reshape":
            whole = self.emit("reshape", None, (new,), {"shape": of.shape})
        elif kind == "transpose":
            whole = self.emit("transpose", None, (new,), {"axes": known.inverse(settings["axes"])})
        elif view._shadow.flags.writeable and function is not None:
            self.unknown(f"a change of what {called(function)} returns, which is a view")
        else:
            raise ValueError("assignment destination is read-only")
        of._write(whole)

    # Calls

    def ufunc(self, ufunc: Any, inputs: Sequence[Any]) -> Any:
        """Note down a call of a ufunc with one result."""
        return self.emit("ufunc", ufunc, inputs, {})

    def power(self, x: Any, y: Any) -> Any:
        """Note down `x ** y`, which is squares and roots where the exponent says so."""
        if type(x) is Tracer and type(y) in (int, float):
            quick = known.POWERS.get(y) if x.dtype.kind == "f" else {2: np.square}.get(y)
            if quick is not None:
                return self.ufunc(quick, (x,))
        return self.ufunc(np.power, (x, y))

    def called(self, ufunc: Any, method: str, inputs: Any, kwargs: dict[str, Any]) -> Any:
        """Note down what NumPy's protocol of ufuncs asks for."""
        kwargs = {k: v for k, v in kwargs.items() if v is not None or k == "axis"}
        out = kwargs.pop("out", None)
        if method == "at":
            target, at, *values = inputs
            if ufunc is not np.add or kwargs:
                return self.unknown(f"np.{ufunc.__name__}.at")
            return self.assign(target, at, values[0], np.add)
        if method == "__call__" and not kwargs and ufunc.nout == 1:
            made = self.ufunc(ufunc, inputs)
        elif method == "outer" and not kwargs and ufunc.nout == 1:
            made = self.outer(ufunc, *inputs)
        elif method == "reduce":
            made = self.reduce(ufunc, inputs[0], *inputs[1:], **kwargs)
        elif ufunc.nout == 1:
            function = ufunc if method == "__call__" else getattr(ufunc, method)
            made = self.generic(function, inputs, kwargs)
        else:
            return self.unknown(f"np.{ufunc.__name__}, which has several results")
        if out is None:
            return made
        return self.stored(out[0], made)

    def outer(self, ufunc: Any, x: Any, y: Any) -> Any:
        """Note down a ufunc of each element of one with each of the other."""
        apart = (1,) * np.ndim(self.operand(y)[1])
        if apart and np.ndim(self.operand(x)[1]):
            x = self.array(x)
            x = self.reshape(x, (*x.shape, *apart))
        return self.ufunc(ufunc, (x, y))

    def stored(self, target: Any, made: Tracer) -> Any:
        """Write a result into the array that was given as `out`."""
        target = self.array(target)
        np.add(np.zeros((), made.dtype), 0, out=np.zeros((), target.dtype), casting="same_kind")
        self.assign(target, ..., made)
        return target

    def into(self, target: Tracer, ufunc: Any, inputs: Sequence[Any]) -> Tracer:
        """Note down an operation in place, with NumPy's own refusals of dtypes and shapes."""
        made = self.ufunc(ufunc, inputs)
        if made.dtype != target.dtype or made.shape != target.shape:
            if not np.can_cast(made.dtype, target.dtype, "same_kind"):
                ufunc(*(self.operand(a)[1] for a in inputs), out=target.shadow.copy())
            self._fits(target, made)
        self.assign(target, ..., made)
        return target

    def _fits(self, target: Tracer, made: Any) -> None:
        if np.broadcast_shapes(target.shape, made.shape) != target.shape:
            message = (
                f"non-broadcastable output operand with shape {target.shape} doesn't match the "
                f"broadcast shape {made.shape}"
            )
            raise ValueError(message)

    def reduce(
        self,
        ufunc: Any,
        x: Any,
        axis: Any = 0,
        dtype: Any = None,
        keepdims: Any = False,
        **rest: Any,
    ) -> Any:
        """Note down a reduction by a ufunc."""
        if dtype is not None:
            rest["dtype"] = np.dtype(dtype)
        rest.pop("out", None)
        if rest:
            return self.generic(ufunc.reduce, (x,), {"axis": axis, "keepdims": keepdims, **rest})
        axis = tuple(axis) if isinstance(axis, list) else axis
        return self.emit("reduce", ufunc, (x,), {"axis": axis, "keepdims": bool(keepdims)})

    def function(self, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Note down a call of a function of NumPy's that is no ufunc."""
        if isinstance(function, Op):
            return function.forward(*args, **kwargs)
        special = known.SPECIAL.get(function)
        if special is not None:
            return special(self, *args, **kwargs)
        if function not in known.PLAIN or (self.depth and function in known.RAISING):
            return self.unknown(called(function))
        out = kwargs.pop("out", None)
        made = self.generic(function, args, kwargs)
        return made if out is None else self.stored(out, made)

    def generic(
        self, function: Any, args: Any, kwargs: dict[str, Any], kind: str = "function"
    ) -> Any:
        """Note down a call of any function, with tracers at any depth of its arguments."""
        operands: list[Any] = []
        settings = {
            "inputs": tuple(known.template(a, operands) for a in args),
            "named": {k: known.template(v, operands) for k, v in kwargs.items()},
        }
        made = self.emit(kind, function, operands, settings)
        of = operands[0] if operands else None
        if type(made) is type(of) is Tracer and np.may_share_memory(made._shadow, of.shadow):
            self._linked(made, of, (kind, function, settings, tuple(operands[1:])))
        return made

    def getitem(self, x: Tracer, at: Any) -> Any:
        """Note down `x[at]`."""
        others: list[Any] = []
        template = known.whole(self._index(at, x, others))
        return self.view("getitem", (x, *others), {"at": template})

    def _index(self, at: Any, x: Any, others: list[Any], start: int = 1) -> Any:
        """Return an index with parts in place of arrays, which are added to `others`."""
        ours = type(at) is Tracer
        if isinstance(at, tuple):
            return tuple(self._index(part, x, others, start) for part in at)
        if type(at) is Number:
            at = self.array(at)
        if isinstance(at, list):
            at = self.array(at)
        if isinstance(at, np.ndarray):
            if ours and at.dtype.kind == "b":
                self.unknown("choosing elements by a mask: how many it makes depends on values")
            others.append(at)
            return Part(start + len(others) - 1)
        if isinstance(at, slice):
            return slice(*(self._bound(part) for part in (at.start, at.stop, at.step)))
        return at

    def _bound(self, part: Any) -> Any:
        if type(part) in (Number, Tracer):
            return part.__index__()
        return part

    def assign(self, target: Any, at: Any, value: Any, how: Any = None) -> None:
        """Note down `target[at] = value`, or `np.add.at(target, at, value)`."""
        target = self.array(target)
        if at is Ellipsis and how is None:
            value = self.array(value)
            self._fits(target, value)
            if value.dtype != target.dtype:
                value = self.cast(value, target.dtype)
            if value.shape != target.shape:
                value = self.emit("expand", None, (value,), {"shape": target.shape})
            target._write(value)
            return
        others: list[Any] = []
        mask = type(at) is Tracer and at.dtype.kind == "b"
        if mask and how is None and np.ndim(self.operand(value)[1]) == 0:
            self._masked(target, at, value)
            return
        template = known.whole(self._index(at, target, others, 2))
        target._write(self.emit("put", how, (target, value, *others), {"at": template}))

    def _masked(self, target: Tracer, mask: Tracer, value: Any) -> None:
        """Note down `target[mask] = number`, as a choice between the two."""
        value = self.cast(self.array(value), target.dtype)
        if mask.ndim < target.ndim:
            mask = self.reshape(mask, mask.shape + (1,) * (target.ndim - mask.ndim), "C")
        target._write(self.generic(np.where, (mask, value, target), {}))

    def reshape(self, x: Tracer, shape: Any, order: str = "C") -> Any:
        """Note down `x.reshape(shape)`."""
        if order not in ("C", "K"):
            self.unknown(f"reshaping in the order {order!r}")
        wanted = tuple(map(int, shape)) if isinstance(shape, tuple | list) else (int(shape),)
        # Of the sizes that NumPy finds out, the program has the numbers.
        shape = np.empty(x.shape, "?").reshape(wanted).shape
        made = self.view("reshape", (x,), {"shape": shape})
        self.reshaped.append((x, made))
        return made

    def transpose(self, x: Tracer, axes: Any) -> Any:
        """Note down `x.transpose(axes)`."""
        order = range(x.ndim)[::-1] if axes is None else axes
        return self.view("transpose", (x,), {"axes": tuple(int(k) % max(x.ndim, 1) for k in order)})

    def cast(self, x: Tracer, dtype: Any, *, copy: bool = True) -> Tracer:
        """Note down `x.astype(dtype)`."""
        dtype = np.dtype(dtype)
        if dtype == x.dtype:
            return x.copy("K") if copy else x
        made: Tracer = self.emit("cast", None, (x,), {"dtype": dtype})
        made._scalar = x._scalar
        return made

    def fill(self, target: Tracer, value: Any) -> None:
        """Note down `target.fill(value)`."""
        if type(value) is Number or not known.traced(value):
            if isinstance(value, np.ndarray):
                value = value.item()
            settings = {"shape": target.shape, "dtype": target.dtype}
            target._write(self.emit("fill", None, (value,), settings))
        else:
            self.assign(target, ..., value)
