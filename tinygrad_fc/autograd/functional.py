"""Derivatives of a function at a point: Jacobians, Hessians, and their products with vectors.

`func` takes tensors and returns a tensor or a tuple of tensors. `inputs` is one tensor or a tuple,
and the results have the same form. `create_graph` makes them part of the graph of the inputs.
`strict` raises `GraphError` if an output does not depend on an input; otherwise that derivative is
zero. Raises `TypeError` for inputs and outputs that are not tensors of floats, and `ShapeError` for
shapes that do not fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc import grad_mode
from tinygrad_fc.autograd.evaluation import Evaluation, directional, gradients

if TYPE_CHECKING:
    from collections.abc import Callable

    Func = Callable[..., Any]


def _run(name: str, func: Func, inputs: Any, create: bool, strict: bool) -> Evaluation:
    args = inputs if isinstance(inputs, tuple) else (inputs,)
    argnums: Any = tuple(range(len(args))) if isinstance(inputs, tuple) else 0
    return Evaluation(name, func, args, argnums, create=create, strict=strict)


def _gradient(run: Evaluation) -> list[Any]:
    """Return the recorded gradient of a function that returns one number."""
    gradient = run.gradient(create=True)
    run.check_strict(gradient, recorded=True)
    return gradient


def vjp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return the outputs, and the product of `v` and the Jacobian, with the shapes of the inputs.

    `v` has the shapes of the outputs; for a single output of one element its default is 1.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.autograd.functional.vjp(lambda x: x**2, x, tg.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    run = _run("vjp", func, inputs, create_graph, strict)
    weights = run.weights(v, run.out_spec, run.outputs, "the outputs")
    product = gradients(run.outputs, run.inputs, weights, create=create_graph)
    return run.value(), run.like_inputs(run.finished(product, run.inputs))


def jvp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return the outputs, and the product of the Jacobian and `v`, with the shapes of the outputs.

    The product is the derivative of each output along `v`. `v` has the shapes of the inputs; for a
    single input of one element its default is 1.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.autograd.functional.jvp(lambda x: x.sum() * x, x, tg.tensor([1.0, 0.0]))
    (tensor([3., 6.]), tensor([4., 2.]))
    """
    run = _run("jvp", func, inputs, create_graph, strict)
    weights = run.weights(v, run.spec, run.inputs, "the inputs")
    product = directional(run.outputs, run.inputs, weights, create=create_graph)
    return run.value(), run.like_outputs(run.finished(product, run.outputs))


def vhp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return the value of `func`, one number, and the product of `v` and its Hessian.

    `v` and the product have the shapes of the inputs; for a single input of one element the default
    of `v` is 1.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.autograd.functional.vhp(lambda x: (x**3).sum(), x, tg.tensor([1.0, 10.0]))
    (tensor(9.), tensor([  6., 120.]))
    """
    run = _run("vhp", func, inputs, create_graph, strict)
    weights = run.weights(v, run.spec, run.inputs, "the inputs")
    product = gradients(_gradient(run), run.inputs, weights, create=create_graph)
    return run.value(), run.like_inputs(run.finished(product, run.inputs))


def hvp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return the value of `func`, one number, and the product of its Hessian and `v`.

    `v` is as in `vhp`, which is cheaper and equal where the second derivatives are continuous.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.autograd.functional.hvp(lambda x: (x**3).sum(), x, tg.tensor([1.0, 10.0]))
    (tensor(9.), tensor([  6., 120.]))
    """
    run = _run("hvp", func, inputs, create_graph, strict)
    weights = run.weights(v, run.spec, run.inputs, "the inputs")
    product = directional(_gradient(run), run.inputs, weights, create=create_graph)
    return run.value(), run.like_inputs(run.finished(product, run.inputs))


def jacobian(
    func: Func,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
) -> Any:
    """Return the derivatives of all elements of the outputs by all elements of the inputs.

    For an output (a, b) and an input (c,) the Jacobian has shape (a, b, c), and the dtype of the
    input. Several outputs give a tuple, several inputs tuples in it: `J[output][input]`. It takes
    one backward pass per element of the outputs. `vectorize` has no effect.

    >>> import tinygrad_fc as tg
    >>> tg.autograd.functional.jacobian(lambda x: x**2, tg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    del vectorize
    with grad_mode.enable_grad():
        return _run("jacobian", func, inputs, create_graph, strict).jacobian()


def hessian(
    func: Func,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
) -> Any:
    """Return the second derivatives of `func`, one number, by all pairs of elements of the inputs.

    For an input (a,) the Hessian has shape (a, a). Several inputs give a tuple of tuples: `H[i][j]`
    has the shape of input i followed by that of input j. The options are those of `jacobian`.

    >>> import tinygrad_fc as tg
    >>> tg.autograd.functional.hessian(lambda x: (x**3).sum(), tg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """

    def gradient(*args: Any) -> Any:
        run = _run("hessian", func, args if isinstance(inputs, tuple) else args[0], True, strict)  # noqa: FBT003
        return run.like_inputs(run.finished(_gradient(run), run.inputs))

    return jacobian(gradient, inputs, create_graph, strict, vectorize)
