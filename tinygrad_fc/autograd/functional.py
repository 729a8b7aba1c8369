"""Derivatives of a function at a point: Jacobians, Hessians, and their products with vectors.

`func` takes tensors and returns a tensor or a tuple of them. `inputs` is one tensor or a tuple,
and so are the results, which `create_graph` makes part of the graph of the inputs. `strict` raises
a `GraphError` where an output does not depend on an input; otherwise the derivative is zero there.
Raises `TypeError` for inputs and outputs that are not tensors of floats, and `ShapeError` for
shapes that do not fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc import grad_mode
from tinygrad_fc.autograd.evaluation import Evaluation, directional, gradients

if TYPE_CHECKING:
    from collections.abc import Callable

    Func = Callable[..., Any]


def _at(name: str, func: Func, inputs: Any, create: bool, strict: bool) -> Evaluation:
    args = inputs if isinstance(inputs, tuple) else (inputs,)
    argnums: Any = tuple(range(len(args))) if isinstance(inputs, tuple) else 0
    return Evaluation(name, func, args, argnums, create=create, strict=strict)


def _gradient(at: Evaluation) -> list[Any]:
    """Return the gradient of a function of one number, recorded."""
    gradient = at.gradient(create=True)
    at.check_strict(gradient, recorded=True)
    return gradient


def vjp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return the outputs, and `v` (of their shapes) times the Jacobian: of the inputs' shapes.

    `v` may be left out, and is 1, for a single output of one element.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.autograd.functional.vjp(lambda x: x**2, x, tg.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    at = _at("vjp", func, inputs, create_graph, strict)
    weights = at.weights(v, at.out_spec, at.outputs, "the outputs")
    product = gradients(at.outputs, at.inputs, weights, create=create_graph)
    return at.value(), at.like_inputs(at.released(product, at.inputs))


def jvp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return the outputs, and the Jacobian times `v` (of the inputs' shapes): of their shapes.

    That is the derivative of each output along `v`, which may be left out, and is 1, for a single
    input of one element.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.autograd.functional.jvp(lambda x: x.sum() * x, x, tg.tensor([1.0, 0.0]))
    (tensor([3., 6.]), tensor([4., 2.]))
    """
    at = _at("jvp", func, inputs, create_graph, strict)
    weights = at.weights(v, at.spec, at.inputs, "the inputs")
    product = directional(at.outputs, at.inputs, weights, create=create_graph)
    return at.value(), at.like_outputs(at.released(product, at.outputs))


def vhp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return the value of `func`, one number, and `v` times its Hessian: of the inputs' shapes.

    `v` has the shapes of the inputs, and is 1 if it is left out for a single element.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.autograd.functional.vhp(lambda x: (x**3).sum(), x, tg.tensor([1.0, 10.0]))
    (tensor(9.), tensor([  6., 120.]))
    """
    at = _at("vhp", func, inputs, create_graph, strict)
    weights = at.weights(v, at.spec, at.inputs, "the inputs")
    product = gradients(_gradient(at), at.inputs, weights, create=create_graph)
    return at.value(), at.like_inputs(at.released(product, at.inputs))


def hvp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return the value of `func`, one number, and its Hessian times `v`: of the inputs' shapes.

    `vhp` is cheaper, and the same where the second derivatives are continuous.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.autograd.functional.hvp(lambda x: (x**3).sum(), x, tg.tensor([1.0, 10.0]))
    (tensor(9.), tensor([  6., 120.]))
    """
    at = _at("hvp", func, inputs, create_graph, strict)
    weights = at.weights(v, at.spec, at.inputs, "the inputs")
    product = directional(_gradient(at), at.inputs, weights, create=create_graph)
    return at.value(), at.like_inputs(at.released(product, at.inputs))


def jacobian(
    func: Func,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
) -> Any:
    """Return the derivatives of all elements of the outputs by all elements of the inputs.

    For an output `(a, b)` and an input `(c,)` that is a tensor `(a, b, c)`, of the input's dtype.
    Several outputs give a tuple, several inputs tuples in it: `J[output][input]`. One backward
    pass an element of the outputs. `vectorize` changes nothing.

    >>> import tinygrad_fc as tg
    >>> tg.autograd.functional.jacobian(lambda x: x**2, tg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    del vectorize
    with grad_mode.enable_grad():
        return _at("jacobian", func, inputs, create_graph, strict).jacobian()


def hessian(
    func: Func,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
) -> Any:
    """Return the second derivatives of `func`, one number, by all pairs of inputs' elements.

    For an input `(a,)` that is a tensor `(a, a)`; several inputs give a tuple of tuples:
    `H[i][j]`, of the shape of input i followed by that of input j. See `jacobian` for the rest.

    >>> import tinygrad_fc as tg
    >>> tg.autograd.functional.hessian(lambda x: (x**3).sum(), tg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """

    def gradient(*args: Any) -> Any:
        at = _at("hessian", func, args if isinstance(inputs, tuple) else args[0], True, strict)  # noqa: FBT003
        return at.like_inputs(at.released(_gradient(at), at.inputs))

    return jacobian(gradient, inputs, create_graph, strict, vectorize)
