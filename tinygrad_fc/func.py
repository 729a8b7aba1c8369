"""Functions to functions: `grad(f)` is the gradient of `f`, in the spelling of `torch.func`.

Arguments and results may be nested in tuples, lists and dicts, whose leaves are tensors. `argnums`
says by which arguments is differentiated: a number, or several as a tuple. With `has_aux` a
function returns a pair, of which the second is handed through. The functions nest: `grad(grad(f))`
is a second derivative. What they return is part of a graph only if something from outside that
requires grad went into it. Raises `TypeError` for leaves that are no tensors of floats, and
`ShapeError` for shapes and nests that do not fit.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc import grad_mode
from tinygrad_fc.autograd import tree
from tinygrad_fc.autograd.level import Level, sized
from tinygrad_fc.autograd.products import gradients, pushed, rows, stacked
from tinygrad_fc.errors import GraphError, ShapeError
from tinygrad_fc.graph import wrap

if TYPE_CHECKING:
    from collections.abc import Callable

    Func = Callable[..., Any]
    Argnums = int | tuple[int, ...]


def _slope(
    name: str, func: Func, argnums: Argnums, has_aux: bool, args: Any, named: Any
) -> tuple[Any, Any, Any]:
    """Return the gradient of a function, its value, and what it returned beside."""
    at = Level(name, func, args, argnums, has_aux, **named)
    if at.out_spec is not None or at.outputs[0]._array.ndim:
        shapes = [t._array.shape for t in at.outputs]
        raise ShapeError(
            f"{name}: the function must return one tensor of shape (), got {shapes}: use .sum() or "
            ".mean(), or take vjp or jacrev"
        )
    ones = [wrap(np.ones_like(at.outputs[0]._array))]
    found = gradients(at.outputs, at.inputs, ones, create=at.outside(at.outputs))
    slope = at.like_inputs(at.out(found, at.inputs))
    return slope, at.out(at.outputs)[0], at.handed_through()


def grad(func: Func, argnums: Argnums = 0, has_aux: bool = False) -> Func:
    """Return the function that returns the gradient of `func`, which returns one number.

    The gradient by an argument is nested as that is; by several, `argnums=(0, 2)`, a tuple. With
    `has_aux` it returns (gradient, aux). Raises `ShapeError` where the value is not of shape ().

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc import func
    >>> func.grad(func.grad(lambda x: x**3))(tg.tensor(2.0))
    tensor(12.)
    """

    @functools.wraps(func)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        slope, _, aux = _slope("grad", func, argnums, has_aux, args, kwargs)
        return (slope, aux) if has_aux else slope

    return gradient


def value_and_grad(func: Func, argnums: Argnums = 0, has_aux: bool = False) -> Func:
    """Return the function that returns (value, gradient) of `func`; see `grad`.

    With `has_aux` it returns ((value, aux), gradient). `grad_and_value` is the other way round.

    >>> import tinygrad_fc as tg
    >>> tg.func.value_and_grad(lambda x: x**2)(tg.tensor(3.0))
    (tensor(9.), tensor(6.))
    """

    @functools.wraps(func)
    def both(*args: Any, **kwargs: Any) -> Any:
        slope, value, aux = _slope("value_and_grad", func, argnums, has_aux, args, kwargs)
        return ((value, aux) if has_aux else value), slope

    return both


def grad_and_value(func: Func, argnums: Argnums = 0, has_aux: bool = False) -> Func:
    """Return the function that returns (gradient, value) of `func`, PyTorch's order; see `grad`.

    With `has_aux` it returns (gradient, (value, aux)).

    >>> import tinygrad_fc as tg
    >>> tg.func.grad_and_value(lambda x: x**2)(tg.tensor(3.0))
    (tensor(6.), tensor(9.))
    """

    @functools.wraps(func)
    def both(*args: Any, **kwargs: Any) -> Any:
        slope, value, aux = _slope("grad_and_value", func, argnums, has_aux, args, kwargs)
        return slope, ((value, aux) if has_aux else value)

    return both


def vjp(func: Func, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Return `func(*primals)`, and the function from weights of it to their gradients.

    The weights are nested as the value is, and of its shapes; the gradients are a tuple, one an
    argument, nested as that is. With `has_aux` a third item is what `func` returned beside.

    >>> import tinygrad_fc as tg
    >>> value, pull = tg.func.vjp(lambda x, y: x * y, tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0]))
    >>> pull(tg.tensor([1.0, 10.0]))
    (tensor([ 3., 40.]), tensor([ 1., 20.]))
    """
    at = Level("vjp", func, primals, tuple(range(len(primals))), has_aux)

    def pull(cotangents: Any) -> Any:
        weights = tree.flatten_like(at.out_spec, cotangents, "vjp: the weights")
        sized("vjp: the weights", weights, at.outputs)
        create = grad_mode.is_grad_enabled() and at.outside([*at.outputs, *weights])
        return at.like_inputs(
            at.out(gradients(at.outputs, at.inputs, weights, create=create), at.inputs)
        )

    value = at.like_outputs(at.out(at.outputs))
    return (value, pull, at.handed_through()) if has_aux else (value, pull)


def jvp(
    func: Func,
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> tuple[Any, ...]:
    """Return `func(*primals)`, and its derivative along `tangents`, nested alike.

    `tangents` are nested as `primals`, a tuple, and of their shapes. `strict` raises `GraphError`
    where an output does not depend on them. With `has_aux` a third item is what `func` returned
    beside.

    >>> import tinygrad_fc as tg
    >>> tg.func.jvp(lambda x: x.sum() * x, (tg.tensor([1.0, 2.0]),), (tg.tensor([1.0, 0.0]),))
    (tensor([3., 6.]), tensor([4., 2.]))
    """
    if not isinstance(primals, tuple):
        raise TypeError(
            "jvp: primals must be a tuple, the arguments of func, such as (x,), got "
            f"{type(primals).__name__}"
        )
    at = Level("jvp", func, primals, tuple(range(len(primals))), has_aux)
    v = tree.flatten_like(at.spec, tangents, "jvp: the tangents")
    sized("jvp: the tangents", v, at.inputs)
    found = pushed(at.outputs, at.inputs, v, create=at.outside([*at.outputs, *v]))
    lost = [m for m, t in enumerate(found) if t is None]
    if strict and lost:
        raise GraphError(
            f"jvp: output {lost[0]} does not depend on primals, which strict=True "
            "refuses; with strict=False its derivative is zero"
        )
    value, derivative = (
        at.like_outputs(at.out(at.outputs)),
        at.like_outputs(at.out(found, at.outputs)),
    )
    return (value, derivative, at.handed_through()) if has_aux else (value, derivative)


def jacrev(
    func: Func, argnums: Argnums = 0, *, has_aux: bool = False, chunk_size: int | None = None
) -> Func:
    """Return the function that returns the Jacobian of `func`, one backward pass an element.

    For an output `(a, b)` and an argument `(c,)` that is a tensor `(a, b, c)`. It is nested as
    the value of `func`, with the nest of the arguments in the place of each tensor. With
    `has_aux` it returns (Jacobian, aux). `chunk_size` changes nothing.

    >>> import tinygrad_fc as tg
    >>> tg.func.jacrev(lambda x: x**2)(tg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"jacrev: chunk_size must be positive, got {chunk_size}")

    @functools.wraps(func)
    def jacobian(*args: Any) -> Any:
        at = Level("jacrev", func, args, argnums, has_aux)
        create = at.outside(at.outputs)
        blocks = []
        for output in at.outputs:
            columns = rows(output, at.inputs, create=create)
            filled = [
                at.out(column, [t] * len(column))
                for t, column in zip(at.inputs, columns, strict=True)
            ]
            blocks.append(
                at.like_inputs(
                    [stacked(c, output, t) for t, c in zip(at.inputs, filled, strict=True)]
                )
            )
        found = at.like_outputs(blocks)
        return (found, at.handed_through()) if has_aux else found

    return jacobian


def hessian(func: Func, argnums: Argnums = 0) -> Func:
    """Return the function that returns the second derivatives of `func`: `jacrev` of `jacrev`.

    For a value `()` and an argument `(a,)` that is a tensor `(a, a)`; by several arguments a
    tuple of tuples.

    >>> import tinygrad_fc as tg
    >>> tg.func.hessian(lambda x: (x**3).sum())(tg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacrev(jacrev(func, argnums), argnums)


__all__ = ["grad", "grad_and_value", "hessian", "jacrev", "jvp", "value_and_grad", "vjp"]
