"""Methods of a tensor: functions of the same names, and in-place methods.

In-place methods raise `GraphError` for tensors through which gradients flow. If a graph needs the
old values, its backward pass raises.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import functional, ops, random
from tinygrad_fc.assignment import (
    assign_elements,
    own_argument,
    record_assignment,
    record_change_to,
)
from tinygrad_fc.conversions import Conversions
from tinygrad_fc.core import grad_mode, graph
from tinygrad_fc.core.device import device_of, move_to_device
from tinygrad_fc.core.dtypes import category
from tinygrad_fc.core.errors import (
    DtypeError,
    GraphError,
    InPlaceError,
    check_argument,
    error_class,
)
from tinygrad_fc.core.errstate import without_warnings
from tinygrad_fc.core.graph import mutation_lock, record_change
from tinygrad_fc.core.node import UNRECORDED, Node, array_of, leaf_of, operand
from tinygrad_fc.core.seam import like
from tinygrad_fc.functional import (
    creation,
    equations,
    indexing,
    joining,
    linalg,
    norms,
    products,
    reduction,
    shape,
    sorting,
)
from tinygrad_fc.ops import arithmetic, comparison, elementwise, reduce, special, trigonometry
from tinygrad_fc.ops.indexing import is_basic

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinygrad_fc.tensors import Tensor

    _any: Any = None


def _tracked(t: Any, *operands: Any) -> bool:
    """Return whether a change of `t` by the operands has to be recorded."""
    if t._seq == UNRECORDED or not grad_mode.flags.get() & grad_mode.RECORD:
        return False
    return any(isinstance(a, Node) and a._requires_grad for a in (t, *operands))


def _change(
    t: Any,
    what: str,
    change: Callable[[Any], Any],
    *operands: Any,
    result: Callable[[], Any] | None = None,
) -> Tensor:
    """Run `change` on the array of `t`, record that it changed, and return `t`.

    If gradients flow through `t` or the operands, `t` becomes the recorded `result()` instead.
    """
    if _tracked(t, *operands):
        is_result = not (t._requires_grad and t.is_leaf)
        if is_result and result is not None:
            value = result()
            try:
                _check_result(t._array, array_of(value))
                record_change_to(t, value)
            except GraphError:
                raise
            except (ValueError, TypeError, IndexError) as error:
                raise _described(t, what, operands, error) from error
            return t  # type: ignore[no-any-return]
        if is_result:
            raise InPlaceError(
                f"{what} would change a recorded value in place, and its gradient would be wrong. "
                "Change a copy (x.detach().clone()), or inside `with no_grad():`"
            )
        change_of = "{}[i] = y" if what == "x[...] = y" else "{} -= lr * w.grad"
        raise InPlaceError(
            f"{what} would change a tensor that requires grad, and the change cannot be recorded. "
            f"Two ways work: `with no_grad(): {change_of.format('w')}`, or "
            f"`{change_of.format('w.data')}`"
        )
    own_argument(t)
    with mutation_lock:
        try:
            change(array_of(t))
        except (ValueError, TypeError, IndexError) as error:
            raise _described(t, what, operands, error) from error
        except BaseException:
            # Under np.errstate, NumPy raises for an overflow after it has written the array.
            record_change(array_of(t))
            raise
        record_change(array_of(t))
    return t  # type: ignore[no-any-return]


def _described(t: Any, what: str, operands: tuple[Any, ...], error: Exception) -> Exception:
    """Return an error with the method and its operands from `error` of NumPy."""
    hint = ""
    if "read-only" in str(error):
        hint = ". Its memory is read-only: change a copy (x.clone())"
    arrays = map(array_of, operands)
    values = " and ".join(f"{np.shape(a)} {getattr(a, 'dtype', '')}" for a in arrays)
    return error_class(error)(
        f"{what} cannot change a tensor {t.shape} {t.dtype} by {values or 'this'}: {error}{hint}"
    )


def _store(array: Any, result: Any) -> None:
    """Set the elements of `array` to `result`, of its category (booleans, integers, floats)."""
    value = array_of(result)
    _check_result(array, value)
    np.copyto(array, value, casting="unsafe")


def _check_result(array: Any, value: Any) -> None:
    if category(value.dtype) > category(array.dtype):
        raise TypeError(f"the result is {value.dtype}; expected {array.dtype} or a lower category")
    if value.shape != array.shape:
        raise ValueError(f"the result has shape {value.shape}, which is not that of the tensor")


def _fits(array: Any, operand: Any) -> bool:
    """Return whether a ufunc of both has the dtype of the float array; not for a Dask array."""
    return operand.__class__ in (float, int) or (
        getattr(operand, "dtype", None) == array.dtype and not hasattr(operand, "dask")
    )


def _in_place(function: Any, name: str) -> Any:
    """Return the in-place variant of a method: it sets the elements to the result of `function`.

    The elements stay in the same memory, with the same dtype.
    """
    ufunc: Any = getattr(function, "function", None)
    if not isinstance(ufunc, np.ufunc):
        ufunc = None
    elif ufunc is not function.plain:
        ufunc = without_warnings(ufunc)

    factors = {"alpha"} & getattr(function, "accepted", frozenset())

    def method(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        arrays = list(map(array_of, args))

        def change(array: Any) -> None:
            usual = ufunc and len(args) < 2 and array.dtype.kind == "f" and kwargs.keys() <= factors
            if usual and all(_fits(array, a) for a in (*arrays, *kwargs.values())):
                scaled = [arrays[0] * kwargs["alpha"]] if kwargs else arrays
                ufunc(array, *scaled, out=array)  # without a copy
            else:
                _store(array, function(self, *args, **kwargs))

        def result() -> Any:
            return function(self, *args, **kwargs)

        return _change(self, name, change, *args, *kwargs.values(), result=result)

    return _documented(method, name)


def _reshaping(function: Any, name: str) -> Any:
    """Return the in-place variant of a method that returns a view of another shape."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        if not _tracked(self) or self.is_leaf:
            result = function(self, *args, **kwargs)
            return _change(self, name, lambda _: setattr(self, "data", result))
        function(self.detach(), *args, **kwargs)  # which raises for wrong arguments
        graph.become(self, function(graph.keep_state(self), *args, **kwargs))
        record_change()  # earlier calls then read the state before
        return self  # type: ignore[no-any-return]

    return _documented(method, name)


def _documented(method: Any, name: str) -> Any:
    method.__name__ = name
    method.__doc__ = f"Change to the result of `{name.rstrip('_')}`; return itself."
    return method


def _assign_all(t: Any, what: str, change: Callable[[Any], Any], value: Any) -> Tensor:
    """Set all elements of `t` to `value`, by `change` of its array if that is not recorded."""
    if not _tracked(t, value) or (t._requires_grad and t.is_leaf):
        return _change(t, what, change, value)
    assign(t, (...,), value)
    return t  # type: ignore[no-any-return]


def assign(t: Any, steps: tuple[Any, ...], value: Any) -> None:
    """Assign `value` to the elements at the indices `steps`, one applied to the result of another.

    This is recorded if gradients flow through it.
    """
    array = operand(value, "x[...] = y")
    if t._array.dtype.kind != "f":
        value = array  # integers and booleans have no gradient
        if np.size(array) > 1 and category(array.dtype) > category(t._array.dtype):
            _check_basic(t, steps, array)
    if _tracked(t, value) and not (t._requires_grad and t.is_leaf):
        try:
            record_assignment(t, steps, value)
        except GraphError:
            raise
        except (ValueError, TypeError, IndexError) as error:
            raise _described(t, "x[...] = y", (value,), error) from error
        return
    _change(t, "x[...] = y", lambda a: assign_elements(a, steps, array), value)


def _check_basic(t: Any, steps: tuple[Any, ...], array: Any) -> None:
    """Raise `DtypeError` if an index array or mask selects what would be rounded, as PyTorch does.

    An assignment to a slice, or to all elements, rounds.
    """
    if not all(map(is_basic, steps)):
        raise DtypeError(
            f"x[...] = y would round {array.dtype} values to {t.dtype}, the dtype of x. Cast one "
            f"of them: y.to({t.dtype}), or x.to({array.dtype})"
        )


class Methods(Conversions):
    """Base class of `Tensor` with the methods that are also functions, and the in-place methods."""

    __slots__ = ()

    # In place

    def _become(self: Any, result: Any) -> Tensor:
        """Change to `result`, for the option `inplace=True`; return itself."""
        change = partial(_store, result=result)
        return _change(self, "inplace=True", change, result, result=lambda: result)

    __iadd__, __isub__ = _in_place(arithmetic.add, "+="), _in_place(arithmetic.subtract, "-=")
    __imul__, __ipow__ = _in_place(arithmetic.multiply, "*="), _in_place(elementwise.power, "**=")
    __itruediv__ = _in_place(arithmetic.divide, "/=")
    __ifloordiv__ = _in_place(arithmetic.floor_divide, "//=")
    __imod__ = _in_place(arithmetic.remainder, "%=")
    __iand__ = _in_place(comparison.bitwise_and, "&=")
    __ior__ = _in_place(comparison.bitwise_or, "|=")
    __ixor__ = _in_place(comparison.bitwise_xor, "^=")
    __ilshift__ = _in_place(comparison.bitwise_left_shift, "<<=")
    __irshift__ = _in_place(comparison.bitwise_right_shift, ">>=")

    add_, sub_ = _in_place(arithmetic.add, "add_"), _in_place(arithmetic.subtract, "sub_")
    mul_, div_ = _in_place(arithmetic.multiply, "mul_"), _in_place(arithmetic.divide, "div_")
    clamp_ = _in_place(elementwise.clamp, "clamp_")
    addcmul_ = _in_place(functional.elementwise.addcmul, "addcmul_")
    addcdiv_ = _in_place(functional.elementwise.addcdiv, "addcdiv_")
    if TYPE_CHECKING:  # the variants that the end of this file adds
        abs_, absolute_, acos_, acosh_, all_, any_, argmax_, argmin_, asin_, asinh_, atan2_ = _any
        atan_, atanh_, bitwise_and_, bitwise_left_shift_, bitwise_not_, bitwise_or_ = _any
        bitwise_right_shift_, bitwise_xor_, ceil_, clamp_max_, clamp_min_, clip_, cos_ = _any
        cosh_, count_nonzero_, cumprod_, cumsum_, digamma_, eq_, erf_, exp2_, exp_, expm1_ = _any
        floor_, floor_divide_, fmod_, ge_, gt_, hypot_, index_add_, index_fill_, isfinite_ = _any
        isinf_, isnan_, le_, lerp_, lgamma_, log10_, log1p_, log2_, log_, logaddexp_ = _any
        logical_and_, logical_not_, logical_or_, logical_xor_, logit_, lt_, masked_fill_ = _any
        maximum_, minimum_, nan_to_num_, ne_, neg_, negative_, polygamma_, pow_ = _any
        reciprocal_, relu_, remainder_, round_, rsqrt_, scatter_, scatter_add_, sigmoid_ = _any
        sign_, sin_, sinh_, sqrt_, square_, squeeze_, t_, tan_, tanh_, transpose_, tril_ = _any
        triu_, trunc_, unsqueeze_, xlogy_, divide_, multiply_, sgn_, subtract_, true_divide_ = _any

    def copy_(self: Any, src: Any, non_blocking: bool = False) -> Tensor:
        """Copy the values of `src`, broadcast; return itself."""
        del non_blocking
        array = move_to_device(operand(src, "copy_"), device_of(self))
        src = src if isinstance(src, Node) else leaf_of(array)
        return _assign_all(self, "copy_", lambda a: np.copyto(a, array, casting="unsafe"), src)

    def fill_(self: Any, value: Any) -> Tensor:
        """Set every element to `value`; return itself."""
        array = operand(value, "fill_")
        return _assign_all(self, "fill_", lambda a: a.fill(array), value)

    def zero_(self: Any) -> Tensor:
        """Set every element to 0; return itself."""
        return _assign_all(self, "zero_", lambda a: a.fill(0), 0.0)

    def fill_diagonal_(self: Any, fill_value: Any, wrap: bool = False) -> Tensor:
        """Set the elements of the main diagonal; `wrap` repeats it below. Return itself."""

        def filled() -> Any:
            mask = np.zeros(self.shape, bool)
            np.fill_diagonal(mask, val=True, wrap=wrap)
            return functional.elementwise.masked_fill(self, mask, fill_value)

        change = partial(np.fill_diagonal, val=operand(fill_value, "fill_diagonal_"), wrap=wrap)
        return _change(self, "fill_diagonal_", change, result=filled)

    def normal_(self: Any, mean: float = 0, std: float = 1, *, generator: Any = None) -> Tensor:
        """Draw every element from a normal distribution; return itself."""
        return _change(self, "normal_", lambda a: random.fill_normal(a, mean, std, generator))

    def uniform_(self: Any, from_: float = 0, to: float = 1, *, generator: Any = None) -> Tensor:
        """Draw every element uniformly from [`from_`, `to`); return itself."""
        return _change(self, "uniform_", lambda a: random.fill_uniform(a, from_, to, generator))

    def random_(
        self: Any, from_: int = 0, to: int | None = None, *, generator: Any = None
    ) -> Tensor:
        """Draw every element from the integers of [`from_`, `to`), or [0, `from_`); return itself.

        Without bounds, from all non-negative integers that the dtype represents exactly.
        """
        low, high = (0, from_ or None) if to is None else (from_, to)
        if high is None:
            is_float, dtype = self.is_floating_point(), self.dtype
            high = 2 ** (np.finfo(dtype).nmant + 1) if is_float else np.iinfo(dtype).max
        drawn = random.randint(low, high, self.shape, generator=generator)._array
        return _change(self, "random_", lambda a: np.copyto(a, drawn, casting="unsafe"))

    def bernoulli_(self: Any, p: Any = 0.5, *, generator: Any = None) -> Tensor:
        """Draw every element as 1 with probability `p`, a number or a tensor; return itself."""
        p = np.asarray(operand(p, "bernoulli_"), np.float64, like=like())
        p = np.broadcast_to(p, self.shape)
        drawn = random.bernoulli(leaf_of(p), generator=generator)._array
        return _change(self, "bernoulli_", lambda a: np.copyto(a, drawn, casting="unsafe"))

    def exponential_(self: Any, lambd: float = 1, *, generator: Any = None) -> Tensor:
        """Draw every element from an exponential distribution of rate `lambd`; return itself."""
        check_argument(lambd > 0, "exponential_", "above 0", lambd=lambd)
        drawn = random.rng_of(generator).standard_exponential(self.shape) / lambd
        return _change(self, "exponential_", lambda a: np.copyto(a, drawn, casting="same_kind"))

    # Elementwise

    abs = absolute = elementwise.absolute
    neg = negative = arithmetic.negative
    exp, exp2, expm1 = elementwise.exp, elementwise.exp2, elementwise.expm1
    log, log2 = elementwise.log, elementwise.log2
    log10, log1p = elementwise.log10, elementwise.log1p
    sqrt, rsqrt = elementwise.sqrt, elementwise.rsqrt
    square, reciprocal = elementwise.square, elementwise.reciprocal
    sin, cos, tan = trigonometry.sin, trigonometry.cos, trigonometry.tan
    asin, acos = trigonometry.arcsin, trigonometry.arccos
    atan, atan2 = trigonometry.arctan, trigonometry.arctan2
    sinh, cosh, tanh = trigonometry.sinh, trigonometry.cosh, trigonometry.tanh
    hypot, logaddexp, xlogy = elementwise.hypot, elementwise.logaddexp, elementwise.xlogy
    sigmoid, relu, erf = elementwise.sigmoid, elementwise.relu, special.erf
    lgamma, digamma = special.lgamma, functional.elementwise.digamma
    add, sub = arithmetic.add, arithmetic.subtract
    mul, div, pow = arithmetic.multiply, functional.elementwise.div, elementwise.power
    subtract, multiply, divide, true_divide = sub, mul, div, div
    fmod, remainder = arithmetic.fmod, arithmetic.remainder
    floor_divide, masked_fill = arithmetic.floor_divide, functional.elementwise.masked_fill
    maximum, minimum = elementwise.maximum, elementwise.minimum
    clip = clamp = elementwise.clamp
    clamp_min, clamp_max = functional.elementwise.clamp_min, functional.elementwise.clamp_max
    lerp, logit = elementwise.lerp, special.logit
    addcmul, addcdiv = functional.elementwise.addcmul, functional.elementwise.addcdiv
    nan_to_num, round = elementwise.nan_to_num, comparison.round
    sign, floor, ceil, trunc = comparison.sign, comparison.floor, comparison.ceil, comparison.trunc
    isnan, isinf, isfinite = comparison.isnan, comparison.isinf, comparison.isfinite
    eq, ne, lt = comparison.eq, comparison.ne, comparison.lt
    le, gt, ge = comparison.le, comparison.gt, comparison.ge
    logical_and, logical_or = comparison.logical_and, comparison.logical_or
    logical_xor, logical_not = comparison.logical_xor, comparison.logical_not
    bitwise_and, bitwise_or = comparison.bitwise_and, comparison.bitwise_or
    bitwise_xor, bitwise_not = comparison.bitwise_xor, comparison.bitwise_not
    bitwise_left_shift = comparison.bitwise_left_shift
    bitwise_right_shift = comparison.bitwise_right_shift
    isclose, allclose = comparison.isclose, functional.elementwise.allclose
    equal = functional.elementwise.equal

    # Reductions

    sum, mean, prod, var, std = reduce.sum, reduce.mean, reduce.prod, reduce.var, reduce.std
    amax, amin, max, min = reduce.amax, reduce.amin, reduction.max, reduction.min
    argmax, argmin, median = comparison.argmax, comparison.argmin, reduction.median
    quantile, norm, dist = reduction.quantile, norms.p_norm, norms.dist
    kthvalue, cummax, nanmean = reduction.kthvalue, reduction.cummax, reduction.nanmean
    all, any, count_nonzero = comparison.all, comparison.any, comparison.count_nonzero
    logsumexp, softmax, log_softmax = reduce.logsumexp, reduce.softmax, reduce.log_softmax
    cumsum, cumprod = reduce.cumsum, reduce.cumprod

    # Linear algebra

    matmul, mm, mv = ops.linalg.matmul, products.mm, products.mv
    dot, bmm = products.dot, products.bmm
    outer, addmm = products.outer, products.addmm
    ger, spmm, sgn = outer, mm, sign
    inner, kron, trace = products.inner, products.kron, products.trace
    det, slogdet, inverse = equations.det, equations.slogdet, equations.inv
    matrix_exp, matrix_power, pinverse = linalg.matrix_exp, linalg.integer_power, linalg.pinverse
    qr = linalg.reduced_qr
    diag, tril, triu = shape.diag, shape.tril, shape.triu
    diagonal, diag_embed = shape.diagonal, shape.diag_embed

    # Shapes

    reshape, view, permute = shape.reshape, shape.view, shape.permute
    t, transpose, diff = shape.t, shape.transpose, reduction.diff
    squeeze, unsqueeze, ravel = shape.squeeze, shape.unsqueeze, shape.ravel
    flatten, unflatten = shape.flatten, shape.unflatten
    expand, expand_as, broadcast_to = shape.expand, shape.expand_as, shape.broadcast_to
    repeat, tile, repeat_interleave = joining.repeat, joining.tile, joining.repeat_interleave
    flip, roll, movedim = shape.flip, shape.roll, shape.movedim
    moveaxis, swapdims = movedim, transpose
    swapaxes: Callable[..., Tensor] = transpose
    split, chunk, unbind = joining.split, joining.chunk, joining.unbind
    new_zeros, new_ones = creation.new_zeros, creation.new_ones
    new_empty, new_full = creation.new_empty, creation.new_full

    # Indexing and sorting

    gather, take_along_dim = indexing.gather, indexing.take_along_dim
    index_select, masked_select = indexing.index_select, indexing.masked_select
    select, narrow, nonzero = indexing.select, indexing.narrow, indexing.nonzero
    unique, bincount, histogram = sorting.unique, sorting.bincount, sorting.histogram
    scatter, scatter_add, index_add = indexing.scatter, indexing.scatter_add, indexing.index_add
    take, index_fill = indexing.take, indexing.index_fill
    sort, argsort, topk = sorting.sort, sorting.argsort, sorting.topk
    as_strided = indexing.as_strided
    bernoulli, multinomial = random.bernoulli, random.multinomial

    def polygamma(self: Any, n: int) -> Tensor:
        """Return derivative `n` of `digamma`.

        >>> import tinygrad_fc as tg
        >>> tg.tensor([1.0]).polygamma(1)
        tensor([1.6449])
        """
        return functional.elementwise.polygamma(n, self)

    def where(self: Any, condition: Any, other: Any) -> Tensor:
        """Return the elements of `self` where `condition` is true, else those of `other`.

        >>> import tinygrad_fc as tg
        >>> x = tg.tensor([-1.0, 2.0])
        >>> x.where(x > 0, 0.0)
        tensor([0., 2.])
        """
        return functional.elementwise.where(condition, self, other)  # type: ignore[no-any-return]


# A new op becomes a method without an entry above; the entries are for type checkers.
_elementwise = (arithmetic, comparison, elementwise, special, trigonometry)
for _module in (*_elementwise, ops.linalg, reduce):
    for _name in _module.__all__:
        if not hasattr(Methods, _name):
            setattr(Methods, _name, getattr(_module, _name))

# In-place variants, `x.sin_()` of `x.sin()`
_names = {"absolute", "cumprod", "cumsum", "index_add", "index_fill", "negative", "scatter"}
_names |= {"divide", "multiply", "scatter_add", "sgn", "subtract", "tril", "triu", "true_divide"}
_names.update(*(module.__all__ for module in (*_elementwise, functional.elementwise)))
_views = {"squeeze", "t", "transpose", "unsqueeze"}
for _name in (_names | _views) - {"allclose", "equal", "isclose", "where"}:
    if not hasattr(Methods, f"{_name}_"):
        _variant = _reshaping if _name in _views else _in_place
        setattr(Methods, f"{_name}_", _variant(getattr(Methods, _name), f"{_name}_"))
