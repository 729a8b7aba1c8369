"""Functions to functions: `grad(f)` is the gradient of `f`, in the spelling of `torch.func`.

Arguments and results are pytrees: tensors nested in tuples, lists and dicts. `argnums` are the
numbers of the arguments to differentiate by: one, or a tuple. With `has_aux` the function returns a
pair, (output, aux), and `aux` is returned unchanged. The functions nest: `grad(grad(f))` is a
second derivative. Results are part of a graph only if they depend on a tensor from outside that
requires grad. Raises `TypeError` for leaves that are not tensors of floats, and `ShapeError` for
shapes and structures that do not fit.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from tinygrad_fc import grad_mode
from tinygrad_fc.autograd.evaluation import Evaluation, directional, gradients

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Func = Callable[..., Any]
    Argnums = int | tuple[int, ...]


def grad(func: Func, argnums: Argnums = 0, has_aux: bool = False) -> Func:
    """Return the function that returns the gradient of `func`, which returns one number.

    The gradient by an argument is nested as that is; by several, `argnums=(0, 2)`, a tuple. With
    `has_aux` it returns (gradient, aux). Raises `ShapeError` where the value is not of shape ().

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc import func
    >>> func.grad(func.grad(lambda x: x**3))(tg.tensor(2.0))
    tensor(12.)
    """
    both = value_and_grad(func, argnums, has_aux)

    @functools.wraps(func)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, slope = both(*args, **kwargs)
        return (slope, value[1]) if has_aux else slope

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
        at = Evaluation("grad", func, args, argnums, has_aux=has_aux, kwargs=kwargs)
        slope = at.gradient(create=at.recorded(at.outputs))
        value = (at.value(), at.released_aux()) if has_aux else at.value()
        return value, at.like_inputs(at.released(slope, at.inputs))

    return both


def grad_and_value(func: Func, argnums: Argnums = 0, has_aux: bool = False) -> Func:
    """Return the function that returns (gradient, value) of `func`, PyTorch's order; see `grad`.

    With `has_aux` it returns (gradient, (value, aux)).

    >>> import tinygrad_fc as tg
    >>> tg.func.grad_and_value(lambda x: x**2)(tg.tensor(3.0))
    (tensor(6.), tensor(9.))
    """
    both = value_and_grad(func, argnums, has_aux)
    return functools.wraps(func)(lambda *args, **kwargs: both(*args, **kwargs)[::-1])


def vjp(func: Func, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Return `func(*primals)`, and the function from cotangents of it to gradients.

    Cotangents have the shapes and the nesting of the value; the gradients are a tuple, one per
    argument, nested as that is. With `has_aux` the third item is the auxiliary result.

    >>> import tinygrad_fc as tg
    >>> value, pull = tg.func.vjp(lambda x, y: x * y, tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0]))
    >>> pull(tg.tensor([1.0, 10.0]))
    (tensor([ 3., 40.]), tensor([ 1., 20.]))
    """
    at = Evaluation("vjp", func, primals, tuple(range(len(primals))), has_aux=has_aux)

    def pull(cotangents: Any) -> Any:
        weights = at.weights(cotangents, at.out_spec, at.outputs, "the outputs")
        create = grad_mode.is_grad_enabled() and at.recorded([*at.outputs, *weights])
        product = gradients(at.outputs, at.inputs, weights, create=create)
        return at.like_inputs(at.released(product, at.inputs))

    return (at.value(), pull, at.released_aux()) if has_aux else (at.value(), pull)


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
    where an output does not depend on them. With `has_aux` the third item is the auxiliary result.

    >>> import tinygrad_fc as tg
    >>> tg.func.jvp(lambda x: x.sum() * x, (tg.tensor([1.0, 2.0]),), (tg.tensor([1.0, 0.0]),))
    (tensor([3., 6.]), tensor([4., 2.]))
    """
    at = Evaluation(
        "jvp", func, primals, tuple(range(len(primals))), has_aux=has_aux, strict=strict
    )
    v = at.weights(tangents, at.spec, at.inputs, "the primals")
    product = directional(at.outputs, at.inputs, v, create=at.recorded([*at.outputs, *v]))
    derivative = at.like_outputs(at.released(product, at.outputs))
    return (at.value(), derivative, at.released_aux()) if has_aux else (at.value(), derivative)


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
    del chunk_size

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        at = Evaluation("jacrev", func, args, argnums, has_aux=has_aux, kwargs=kwargs)
        return (at.jacobian(), at.released_aux()) if has_aux else at.jacobian()

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


def functional_call(
    module: Any, parameters_and_buffers: Mapping[str, Any], args: Any = None, kwargs: Any = None
) -> Any:
    """Return `module(*args, **kwargs)` with other tensors in place of its parameters and buffers.

    `parameters_and_buffers` are named as in `named_parameters()`; the others are the module's own.
    `args` is a tuple, or the only argument. Raises `KeyError` for a name that is not there.

    >>> import tinygrad_fc as tg
    >>> layer = tg.nn.Linear(2, 1)
    >>> weights = {"weight": tg.ones(1, 2), "bias": tg.zeros(1)}
    >>> tg.func.functional_call(layer, weights, tg.tensor([1.0, 2.0]))
    tensor([3.])
    """
    replaced: list[tuple[Any, Any, Any]] = []
    try:
        for path, tensor in parameters_and_buffers.items():
            holder, key = _holder(module, path)
            replaced.append((holder, key, holder[key]))
            holder[key] = tensor
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for holder, key, tensor in reversed(replaced):
            holder[key] = tensor


def _holder(module: Any, path: str) -> tuple[Any, Any]:
    """Return the dict or list that holds the tensor at `path`, and its key there."""
    inner: Any = module
    try:
        for part in path.split("."):
            holder = inner if isinstance(inner, dict | list) else vars(inner)
            key: Any = int(part) if isinstance(holder, list) else part
            inner = holder[key]
    except (LookupError, TypeError, ValueError):
        message = f"functional_call: the module has no parameter or buffer {path!r}"
        raise KeyError(message) from None
    return holder, key


__all__ = ["functional_call", "grad", "grad_and_value", "hessian", "jacrev", "jvp"]
__all__ += ["value_and_grad", "vjp"]
