"""Derivatives of a function at a point: Jacobians, Hessians, and their products with vectors.

`func` takes tensors and returns a tensor or a tuple of them. `inputs` is one tensor or a tuple,
and so are the results. With `create_graph` they are part of the graph of the inputs; without it
they are cut off. `strict` raises a `GraphError` where an output does not depend on an input;
otherwise the derivative is zero there. Raises `TypeError` for what is no tensor, and `ShapeError`
for shapes that do not fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_fc import grad_mode
from tinygrad_fc.autograd.products import fresh, gradients, pushed, rows, stacked
from tinygrad_fc.errors import GraphError, ShapeError
from tinygrad_fc.graph import Node, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Func = Callable[..., Any]
    Maybe = Sequence[Any]  # of tensors, with None where there is no dependence


class _Point(NamedTuple):
    """The value of a function at fresh copies of its inputs."""

    name: str
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    alone_in: bool
    alone_out: bool
    create: bool
    strict: bool

    def weights(self, v: Any, like: Sequence[Any], what: str) -> list[Any]:
        """Return `v` as a list of tensors of the shapes of `like`; 1 for a single element."""
        if v is None:
            if len(like) != 1 or like[0]._array.size != 1:
                raise ShapeError(
                    f"{self.name}: pass v, a tensor for each of {what}; it may be left out only "
                    "for one tensor of one element"
                )
            return [wrap(np.ones_like(like[0]._array))]
        found = _tensors(v, f"{self.name}: v")
        shapes, wanted = ([t._array.shape for t in ts] for ts in (found, like))
        if shapes != wanted:
            raise ShapeError(
                f"{self.name}: v must have the shapes of {what}, {wanted}, and has {shapes}"
            )
        return [t if self.create else t.detach() for t in found]

    def depend(self, found: Maybe, what: str, on: str, *, recorded: bool = False) -> None:
        """Raise under `strict` where a derivative in `found` is None, or not `recorded`."""
        for k, t in enumerate(found if self.strict else ()):
            if t is None or (recorded and not t._requires_grad):
                raise GraphError(
                    f"{self.name}: {what.format(k)} does not depend on {on.format(k)}, which "
                    "strict=True refuses. Was it computed from something else, or cut off with "
                    "detach() or numpy()? With strict=False the derivative is zero"
                )

    def result(self, found: Maybe, like: Sequence[Any], *, alone: bool) -> Any:
        """Return `found`, with zeros for None, as the caller gave or got the like."""
        zeros = (wrap(np.zeros_like(t._array)) for t in like)
        filled = tuple(z if t is None else t for z, t in zip(zeros, found, strict=True))
        filled = filled if self.create else tuple(t.detach() for t in filled)
        return filled[0] if alone else filled

    def value(self) -> Any:
        """Return the value of the function."""
        return self.result(self.outputs, self.outputs, alone=self.alone_out)


def _tensors(given: Any, what: str) -> tuple[Any, ...]:
    found = given if isinstance(given, tuple) else (given,)
    for k, t in enumerate(found):
        if not isinstance(t, Node):
            at = f" at index {k}" if isinstance(given, tuple) else ""
            raise TypeError(
                f"{what} must be a tensor or a tuple of tensors, got {type(t).__name__}{at}"
            )
    return found


def _at(name: str, func: Func, inputs: Any, create: bool, strict: bool) -> _Point:
    given = _tensors(inputs, f"{name}: inputs")
    copies = tuple(fresh(t, create=create) for t in given)
    value = func(*copies)
    outputs = _tensors(value, f"{name}: what the function returns")
    alone_in, alone_out = not isinstance(inputs, tuple), not isinstance(value, tuple)
    at = _Point(name, copies, outputs, alone_in, alone_out, create, strict)
    at.depend(outputs, "output {}", "any input", recorded=True)
    return at


def _slope(at: _Point) -> list[Any]:
    """Return the gradient of a function of one number, recorded."""
    if not at.alone_out or at.outputs[0]._array.size != 1:
        shapes = [t._array.shape for t in at.outputs]
        raise ShapeError(
            f"{at.name} needs a function that returns one tensor of one element, got shapes "
            f"{shapes}: use .sum() or .mean(), or jacobian"
        )
    ones = [wrap(np.ones_like(at.outputs[0]._array))]
    found = gradients(at.outputs, at.inputs, ones, create=True)
    at.depend(found, "the output", "input {}")
    at.depend(found, "the gradient by input {}", "any input", recorded=True)
    return found


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
    with grad_mode.enable_grad():
        at = _at("vjp", func, inputs, create_graph, strict)
        weights = at.weights(v, at.outputs, "the outputs")
        found = gradients(at.outputs, at.inputs, weights, create=create_graph)
    at.depend(found, "the output", "input {}")
    at.depend(found, "the product with v", "input {}", recorded=create_graph)
    return at.value(), at.result(found, at.inputs, alone=at.alone_in)


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
    with grad_mode.enable_grad():
        at = _at("jvp", func, inputs, create_graph, strict)
        weights = at.weights(v, at.inputs, "the inputs")
        found = pushed(at.outputs, at.inputs, weights, create=create_graph)
    at.depend(found, "output {}", "any input")
    at.depend(found, "the derivative of output {}", "any input", recorded=create_graph)
    return at.value(), at.result(found, at.outputs, alone=at.alone_out)


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
    with grad_mode.enable_grad():
        at = _at("vhp", func, inputs, create_graph, strict)
        weights = at.weights(v, at.inputs, "the inputs")
        found = gradients(_slope(at), at.inputs, weights, create=create_graph)
    at.depend(found, "the gradient", "input {}")
    at.depend(found, "the product with v", "input {}", recorded=create_graph)
    return at.value(), at.result(found, at.inputs, alone=at.alone_in)


def hvp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return the value of `func`, one number, and its Hessian times `v`: of the inputs' shapes.

    As `vhp`, which is cheaper, wherever the Hessian is symmetric, so but for discontinuities.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.autograd.functional.hvp(lambda x: (x**3).sum(), x, tg.tensor([1.0, 10.0]))
    (tensor(9.), tensor([  6., 120.]))
    """
    with grad_mode.enable_grad():
        at = _at("hvp", func, inputs, create_graph, strict)
        weights = at.weights(v, at.inputs, "the inputs")
        found = pushed(_slope(at), at.inputs, weights, create=create_graph)
    at.depend(found, "the gradient by input {}", "any input")
    at.depend(found, "the product with v for input {}", "any input", recorded=create_graph)
    return at.value(), at.result(found, at.inputs, alone=at.alone_in)


def jacobian(
    func: Func,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """Return the derivatives of all elements of the outputs by all elements of the inputs.

    For an output `(a, b)` and an input `(c,)` that is a tensor `(a, b, c)`, of the input's dtype.
    Several outputs give a tuple, several inputs tuples in it: `J[output][input]`. One backward
    pass an element of the outputs. `vectorize` changes nothing, and "reverse-mode" is the only
    `strategy` (`NotImplementedError`).

    >>> import tinygrad_fc as tg
    >>> tg.autograd.functional.jacobian(lambda x: x**2, tg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    del vectorize
    _reverse("jacobian", strategy)
    with grad_mode.enable_grad():
        at = _at("jacobian", func, inputs, create_graph, strict)
        found = []
        for m, output in enumerate(at.outputs):
            blocks = []
            columns = rows(output, at.inputs, create=create_graph)
            for k, (t, column) in enumerate(zip(at.inputs, columns, strict=True)):
                at.depend(column, f"element {{}} of output {m}", f"input {k}")
                at.depend(column, f"row {{}} of output {m}", f"input {k}", recorded=create_graph)
                zero = wrap(np.zeros_like(t._array))
                blocks.append(stacked([zero if g is None else g for g in column], output, t))
            found.append(at.result(blocks, blocks, alone=at.alone_in))
    return found[0] if at.alone_out else tuple(found)


def hessian(
    func: Func,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Return the second derivatives of `func`, one number, by all pairs of inputs' elements.

    For an input `(a,)` that is a tensor `(a, a)`; several inputs give a tuple of tuples:
    `H[i][j]`, of the shape of input i followed by that of input j. See `jacobian` for the rest.

    >>> import tinygrad_fc as tg
    >>> tg.autograd.functional.hessian(lambda x: (x**3).sum(), tg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    _reverse("hessian", outer_jacobian_strategy)
    given = _tensors(inputs, "hessian: inputs")
    alone = not isinstance(inputs, tuple)

    def slope(*copies: Any) -> tuple[Any, ...]:
        value = func(*copies)
        outputs = _tensors(value, "hessian: what the function returns")
        at = _Point("hessian", copies, outputs, alone, not isinstance(value, tuple), True, strict)  # noqa: FBT003
        at.depend(outputs, "the output", "any input", recorded=True)
        return at.result(_slope(at), copies, alone=False)  # type: ignore[no-any-return]

    found = jacobian(slope, given, create_graph, strict, vectorize)
    return found[0][0] if alone else found


def _reverse(name: str, strategy: str) -> None:
    if strategy == "forward-mode":
        raise NotImplementedError(
            f'{name}: strategy "forward-mode" is not there: leave it out, the values are the same'
        )
    if strategy != "reverse-mode":
        raise ValueError(f'{name}: strategy is "reverse-mode", got {strategy!r}')
