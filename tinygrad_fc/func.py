"""Transformations of functions, under the names of `torch.func`: `grad(f)` is the gradient of `f`.

Arguments and results are pytrees: tensors nested in tuples, lists and dicts. `argnums` is the
index of the positional argument to differentiate by, or a tuple of indices. With `has_aux` the
function returns a pair (output, aux), and `aux` is returned unchanged. The transformations nest:
`grad(grad(f))` is a second derivative. Results are part of a graph only if they depend on a
captured tensor that requires grad. Raises `TypeError` for leaves that are not tensors of floats,
and `ShapeError` for shapes and structures that do not fit.
"""

from __future__ import annotations

import functools
from _thread import RLock
from typing import TYPE_CHECKING, Any

from tinygrad_fc.autograd.functional import Evaluation, gradients, transposed
from tinygrad_fc.autograd.vmap import vmap
from tinygrad_fc.core import grad_mode
from tinygrad_fc.functional.joining import stack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Func = Callable[..., Any]
    Argnums = int | tuple[int, ...]


def grad(func: Func, argnums: Argnums = 0, has_aux: bool = False) -> Func:
    """Return a function that computes the gradient of `func`, which returns one number.

    The gradient has the structure of the argument; for several, as `argnums=(0, 2)`, it is a tuple.
    With `has_aux` the function returns (gradient, aux). It raises `ShapeError` if the value of
    `func` does not have shape ().

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc import func
    >>> func.grad(func.grad(lambda x: x**3))(tg.tensor(2.0))
    tensor(12.)
    """
    both = value_and_grad(func, argnums, has_aux)

    @functools.wraps(func)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return gradient


def value_and_grad(func: Func, argnums: Argnums = 0, has_aux: bool = False) -> Func:
    """Return a function that computes (value, gradient) of `func`; see `grad`.

    With `has_aux` it returns ((value, aux), gradient). `grad_and_value` has the reverse order.

    >>> import tinygrad_fc as tg
    >>> tg.func.value_and_grad(lambda x: x**2)(tg.tensor(3.0))
    (tensor(9.), tensor(6.))
    """

    @functools.wraps(func)
    def both(*args: Any, **kwargs: Any) -> Any:
        result = Evaluation("grad", func, args, argnums, has_aux=has_aux, kwargs=kwargs)
        gradient = result.gradient(create=result.recorded(result.outputs))
        value = (result.value(), result.finished_aux()) if has_aux else result.value()
        return value, result.like_inputs(result.finished(gradient, result.inputs))

    return both


def grad_and_value(func: Func, argnums: Argnums = 0, has_aux: bool = False) -> Func:
    """Return a function that computes (gradient, value) of `func`, PyTorch's order; see `grad`.

    With `has_aux` it returns (gradient, (value, aux)).

    >>> import tinygrad_fc as tg
    >>> tg.func.grad_and_value(lambda x: x**2)(tg.tensor(3.0))
    (tensor(6.), tensor(9.))
    """
    both = value_and_grad(func, argnums, has_aux)
    return functools.wraps(func)(lambda *args, **kwargs: both(*args, **kwargs)[::-1])


def vjp(func: Func, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Return `func(*primals)`, and a function that maps its cotangents to gradients.

    The cotangents have the shapes and the structure of the value. The gradients are a tuple, one
    per argument, with the structure of that argument. With `has_aux` the third item is the
    auxiliary result.

    >>> import tinygrad_fc as tg
    >>> value, pull = tg.func.vjp(lambda x, y: x * y, tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0]))
    >>> pull(tg.tensor([1.0, 10.0]))
    (tensor([ 3., 40.]), tensor([ 1., 20.]))
    """
    result = Evaluation("vjp", func, primals, tuple(range(len(primals))), has_aux=has_aux)

    def pull(cotangents: Any) -> Any:
        weights = result.weights(cotangents, result.out_spec, result.outputs, "the outputs")
        create = grad_mode.is_grad_enabled() and result.recorded([*result.outputs, *weights])
        product = gradients(result.outputs, result.inputs, weights, create=create)
        return result.like_inputs(result.finished(product, result.inputs))

    return (result.value(), pull, result.finished_aux()) if has_aux else (result.value(), pull)


def jvp(
    func: Func,
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> tuple[Any, ...]:
    """Return `func(*primals)`, and its derivative along `tangents`, with the same structure.

    `primals` is a tuple, and `tangents` has its structure and shapes. `strict` raises `GraphError`
    if an output does not depend on `primals`. With `has_aux` the third item is the auxiliary
    result.

    >>> import tinygrad_fc as tg
    >>> tg.func.jvp(lambda x: x.sum() * x, (tg.tensor([1.0, 2.0]),), (tg.tensor([1.0, 0.0]),))
    (tensor([3., 6.]), tensor([4., 2.]))
    """
    argnums = tuple(range(len(primals)))
    result = Evaluation("jvp", func, primals, argnums, has_aux=has_aux, strict=strict)
    derivative = _pushforward(result)(*tangents)
    value = result.value()
    return (value, derivative, result.finished_aux()) if has_aux else (value, derivative)


def linearize(func: Func, *primals: Any) -> tuple[Any, Func]:
    """Return `func(*primals)`, and a function of tangents that computes its derivative along them.

    It equals `jvp` at fixed `primals`, but evaluates `func` once for all tangents, which are passed
    as the primals were.

    >>> import tinygrad_fc as tg
    >>> value, push = tg.func.linearize(lambda x: x**2, tg.tensor([1.0, 2.0]))
    >>> push(tg.tensor([1.0, 0.0])), push(tg.tensor([0.0, 1.0]))
    (tensor([2., 0.]), tensor([0., 4.]))
    """
    result = Evaluation("linearize", func, primals, tuple(range(len(primals))))
    return result.value(), _pushforward(result)


def _pushforward(result: Evaluation) -> Func:
    u, back = transposed(result.outputs, result.inputs)

    def push(*tangents: Any) -> Any:
        v = result.weights(tangents, result.spec, result.inputs, "the primals")
        create = grad_mode.is_grad_enabled() and result.recorded([*result.outputs, *v])
        derivatives = gradients(back, u, v, create=create)
        return result.like_outputs(result.finished(derivatives, result.outputs))

    return push


def jacrev(
    func: Func, argnums: Argnums = 0, *, has_aux: bool = False, chunk_size: int | None = None
) -> Func:
    """Return a function that computes the Jacobian of `func`, one backward pass per output element.

    For an output (a, b) and an argument (c,) the Jacobian has shape (a, b, c). Its structure is
    that of the value of `func`, with the structure of the arguments in place of each tensor. With
    `has_aux` the function returns (Jacobian, aux). `chunk_size` has no effect.

    >>> import tinygrad_fc as tg
    >>> tg.func.jacrev(lambda x: x**2)(tg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    del chunk_size
    return _jacobian("jacrev", func, argnums, has_aux=has_aux)


def jacfwd(
    func: Func, argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Func:
    """Return a function that computes the Jacobian of `func`, one pass per element of an argument.

    The result is that of `jacrev`; it takes fewer passes where the outputs have more elements than
    the arguments. `randomness` has no effect, since `func` is evaluated once.

    >>> import tinygrad_fc as tg
    >>> tg.func.jacfwd(lambda x: x.sum() * tg.ones(3))(tg.tensor([1.0, 2.0])).shape
    Size([3, 2])
    """
    del randomness
    return _jacobian("jacfwd", func, argnums, has_aux=has_aux)


def _jacobian(name: str, func: Func, argnums: Argnums, *, has_aux: bool) -> Func:
    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        result = Evaluation(name, func, args, argnums, has_aux=has_aux, kwargs=kwargs)
        derivatives = result.jacobian(forward=name == "jacfwd")
        return (derivatives, result.finished_aux()) if has_aux else derivatives

    return jacobian


def hessian(func: Func, argnums: Argnums = 0) -> Func:
    """Return a function that computes the second derivatives of `func`: `jacrev` of `jacrev`.

    For a value () and an argument (a,) the Hessian has shape (a, a); for several arguments it is a
    tuple of tuples.

    >>> import tinygrad_fc as tg
    >>> tg.func.hessian(lambda x: (x**3).sum())(tg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacrev(jacrev(func, argnums), argnums)


# Modules


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters and the buffers of the models by name, each stacked along axis 0.

    The stacked parameters are leaves. To run all models, call `vmap` of a function that passes them
    to `functional_call` of one model. Raises `RuntimeError` unless there is a model, and all have
    the same class and training mode.

    >>> import tinygrad_fc as tg
    >>> parameters, buffers = tg.func.stack_module_state([tg.nn.Linear(3, 2) for _ in range(5)])
    >>> parameters["weight"].shape
    Size([5, 2, 3])
    """
    if len({(type(model), model.training) for model in models}) != 1:
        raise RuntimeError(
            f"stack_module_state: got {len(models)} models, expected at least one, all of the same "
            "class and training mode. Call train() or eval() on all of them"
        )

    def stacked(named: str) -> dict[str, Any]:
        states = [dict(getattr(model, named)()) for model in models]
        return {
            name: stack([state[name].detach() for state in states]).requires_grad_(t.requires_grad)
            for name, t in states[0].items()
        }

    return stacked("named_parameters"), stacked("named_buffers")


def functional_call(
    module: Any, parameter_and_buffer_dicts: Any, args: Any = None, kwargs: Any = None
) -> Any:
    """Return `module(*args, **kwargs)` with other tensors in place of its parameters and buffers.

    `parameter_and_buffer_dicts` maps names, as in `named_parameters()`, to tensors, or is several
    such dicts, which must not share a name (`ValueError`). The module uses its own tensors for all
    other names, and unknown names have no effect. A shared parameter is replaced under all its
    names. `args` is a tuple, the only argument, or None. In several threads, calls run one after
    the other.

    >>> import tinygrad_fc as tg
    >>> layer = tg.nn.Linear(2, 1)
    >>> weights = {"weight": tg.ones(1, 2), "bias": tg.zeros(1)}
    >>> tg.func.functional_call(layer, weights, tg.tensor([1.0, 2.0]))
    tensor([3.])
    """
    dicts = parameter_and_buffer_dicts
    parts = [dicts] if isinstance(dicts, dict) else list(dicts)
    new = {name: t for part in parts for name, t in part.items()}
    if sum(map(len, parts)) > len(new):
        raise ValueError("functional_call: several dicts have the same name. Leave out one of them")
    args = args if isinstance(args, tuple) else () if args is None else (args,)
    with _replacing:
        own = dict(module.named_parameters(remove_duplicate=False))
        own |= module.named_buffers(remove_duplicate=False)
        shared = {id(own[path]): t for path, t in new.items() if path in own}
        places = [
            (*_registry(module, path), t, new.get(path, shared[id(t)]))
            for path, t in own.items()
            if id(t) in shared
        ]
        try:
            for registry, name, _, value in places:
                registry[name] = value
            return module(*args, **(kwargs or {}))
        finally:
            for registry, name, tensor, _ in places:
                registry[name] = tensor


_replacing = RLock()  # held while a module has other tensors


def _registry(module: Any, path: str) -> tuple[Any, str]:
    """Return the registry of a module that has the tensor at `path`, and the tensor's name."""
    inner, _, name = path.rpartition(".")
    owner = module.get_submodule(inner)
    return owner._parameters if name in owner._parameters else owner._buffers, name


__all__ = ["functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp"]
__all__ += ["linearize", "stack_module_state", "value_and_grad", "vjp", "vmap"]
