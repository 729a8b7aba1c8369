"""Derivatives of a function at a point: Jacobians, Hessians, and their products with vectors.

`func` takes tensors and returns a tensor or a tuple of tensors. `inputs` is one tensor or a tuple,
and the results have the same form. `create_graph` makes them part of the graph of the inputs.
`strict` raises `GraphError` if an output does not depend on an input; otherwise that derivative is
zero. Raises `TypeError` for inputs and outputs that are not tensors of floats, and `ShapeError` for
shapes that do not fit.

`func` has the same derivatives under the names of `torch.func`. Both evaluate the function once, at
copies of the arguments (`Evaluation`). Evaluations nest when a derivative is differentiated: since
each has its own copies, the arguments of an outer evaluation are constants of an inner one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.autograd import grad
from tinygrad_fc.autograd.function_op import ForwardMode
from tinygrad_fc.core import grad_mode, pytree
from tinygrad_fc.core.device import device_of, move_to_device
from tinygrad_fc.core.errors import GraphError, ShapeError
from tinygrad_fc.core.graph import call_op
from tinygrad_fc.core.node import Node, array_of, leaf_of
from tinygrad_fc.ops.shape import reshape, stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Func = Callable[..., Any]
    Items = Sequence[Any]  # tensors, or None for no dependence

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _evaluation(name: str, func: Func, inputs: Any, create: bool, strict: bool) -> Evaluation:
    args = inputs if isinstance(inputs, tuple) else (inputs,)
    argnums: Any = tuple(range(len(args))) if isinstance(inputs, tuple) else 0
    return Evaluation(name, func, args, argnums, create=create, strict=strict)


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
    result = _evaluation("vjp", func, inputs, create_graph, strict)
    weights = result.weights(v, result.out_spec, result.outputs, "the outputs")
    product = gradients(result.outputs, result.inputs, weights, create=create_graph)
    return result.value(), result.like_inputs(result.finished(product, result.inputs))


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
    result = _evaluation("jvp", func, inputs, create_graph, strict)
    weights = result.weights(v, result.spec, result.inputs, "the inputs")
    u, back = transposed(result.outputs, result.inputs)
    product = gradients(back, u, weights, create=create_graph)
    return result.value(), result.like_outputs(result.finished(product, result.outputs))


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
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


def hvp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Return the value of `func`, one number, and the product of its Hessian and `v`.

    The result is that of `vhp`, since the Hessian is symmetric.

    >>> import tinygrad_fc as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.autograd.functional.hvp(lambda x: (x**3).sum(), x, tg.tensor([1.0, 10.0]))
    (tensor(9.), tensor([  6., 120.]))
    """
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)


def _hessian_product(
    name: str, func: Func, inputs: Any, v: Any, create: bool, strict: bool
) -> tuple[Any, Any]:
    result = _evaluation(name, func, inputs, create, strict)
    weights = result.weights(v, result.spec, result.inputs, "the inputs")
    product = gradients(result.gradient(create=True), result.inputs, weights, create=create)
    return result.value(), result.like_inputs(result.finished(product, result.inputs))


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
        return _evaluation("jacobian", func, inputs, create_graph, strict).jacobian()


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
        points = args if isinstance(inputs, tuple) else args[0]
        result = _evaluation("hessian", func, points, create=True, strict=strict)
        return result.like_inputs(result.finished(result.gradient(create=True), result.inputs))

    return jacobian(gradient, inputs, create_graph, strict, vectorize)


# One evaluation, and products with its Jacobian


class Evaluation:
    """One evaluation of a function, at copies of the arguments to differentiate by.

    Arguments and results are pytrees of tensors. `create` says whether derivatives are part of the
    graph of the arguments; by default they are if gradients are enabled and the derivatives depend
    on a captured tensor that requires grad. `strict` raises an error if a derivative is zero for
    lack of a dependence.
    """

    def __init__(
        self,
        name: str,
        func: Func,
        args: Sequence[Any],
        argnums: Any,
        *,
        has_aux: bool = False,
        kwargs: dict[str, Any] | None = None,
        create: bool | None = None,
        strict: bool = False,
    ) -> None:
        self.name, self.create, self.strict = name, create, strict
        self.recording = grad_mode.is_grad_enabled() if create is None else create
        positions = _positions(name, argnums, len(args))
        chosen = [args[k] for k in positions]
        single = isinstance(argnums, int)
        leaves, self.spec = pytree.flatten(chosen[0] if single else tuple(chosen))
        must_be_floats(f"{name}: an argument to differentiate by", leaves)
        # An enclosing no_grad() only decides whether the derivative is recorded.
        with grad_mode.enable_grad():
            self.inputs = [copy_of(t, create=self.recording) for t in leaves]
            copies = self.like_inputs(self.inputs)
            arguments = list(args)
            for k, copy in zip(positions, (copies,) if single else copies, strict=True):
                arguments[k] = copy
            value = func(*arguments, **(kwargs or {}))
        self.aux = None
        if has_aux:
            if not (isinstance(value, tuple) and len(value) == 2):
                raise TypeError(
                    f"{name}: with has_aux the function returns a pair, (output, aux), got "
                    f"{type(value).__name__}"
                )
            value, self.aux = value
        self.outputs, self.out_spec = pytree.flatten(value)
        must_be_floats(f"{name}: the value of the function", self.outputs)
        self.check_strict(self.outputs, recorded=True)

    def like_inputs(self, leaves: Sequence[Any]) -> Any:
        """Return `leaves` in the structure of the arguments."""
        return pytree.unflatten(self.spec, leaves)

    def like_outputs(self, leaves: Sequence[Any]) -> Any:
        """Return `leaves` in the structure of the value of the function."""
        return pytree.unflatten(self.out_spec, leaves)

    def value(self) -> Any:
        """Return the value of the function."""
        return self.like_outputs(self._result(self.outputs))

    def _result(self, tree: Any) -> Any:
        """Return `tree`, its tensors detached unless derivatives are recorded."""
        if self.recorded([t for t in pytree.flatten(tree)[0] if isinstance(t, Node)]):
            return tree
        return pytree.mapped(lambda t: leaf_of(array_of(t)) if isinstance(t, Node) else t, tree)

    def recorded(self, tensors: Sequence[Any]) -> bool:
        """Return whether to record derivatives that depend on `tensors`."""
        if self.create is not None:
            return self.create
        copies = {id(t) for t in self.inputs}
        return self.recording and any(id(t) not in copies for t in sources(tensors))

    def finished(self, tensors: Items, like: Sequence[Any] | None = None) -> Any:
        """Return `tensors`, with zeros for None, detached unless derivatives are recorded."""
        self.check_strict(tensors, recorded=bool(self.create))
        pairs = zip(tensors, like or tensors, strict=True)
        return self._result(
            [leaf_of(np.zeros_like(array_of(z))) if t is None else t for t, z in pairs]
        )

    def finished_aux(self) -> Any:
        """Return the auxiliary result, detached unless derivatives are recorded."""
        return self._result(self.aux)

    def weights(self, v: Any, spec: Any, like: Sequence[Any], kind: str) -> list[Any]:
        """Return the leaves of `v`, checked against `spec` and `like`; by default 1."""
        if v is None:
            if [t._array.size for t in like] != [1]:
                raise ShapeError(
                    f"{self.name}: v is None, expected a tensor for each of {kind}, unless that is "
                    "one tensor of one element"
                )
            return [leaf_of(np.ones_like(array_of(like[0])))]
        tensors, v_spec = pytree.flatten(v)
        must_be_floats(f"{self.name}: v", tensors)
        shapes, expected = ([t._array.shape for t in ts] for ts in (tensors, like))
        # In `autograd.functional` one tensor is the same as a tuple of one.
        if shapes != expected or (self.create is None and v_spec != spec):
            raise ShapeError(
                f"{self.name}: v has the shapes {shapes}, expected the shapes {expected} of "
                f"{kind}, in the same structure"
            )
        return [t.detach() if self.create is False else t for t in tensors]

    def check_strict(self, tensors: Items, *, recorded: bool = False) -> None:
        """With `strict`, raise if a derivative is None or, with `recorded`, not recorded."""
        for k, t in enumerate(tensors if self.strict else ()):
            if t is None or (recorded and not t._requires_grad):
                raise GraphError(
                    f"{self.name}: output {k}, or gradient {k} with create_graph=True, does not "
                    "depend on the inputs, which strict=True refuses. Look for detach() and "
                    "numpy(), or pass strict=False for a derivative of zero"
                )

    def gradient(self, *, create: bool) -> list[Any]:
        """Return the gradient of a function that returns one number, recorded with `create`."""
        shapes = [t._array.shape for t in self.outputs]
        scalar = shapes == [()] or (self.create is not None and self.outputs[0]._array.size == 1)
        if self.out_spec is not None or not scalar:
            raise ShapeError(
                f"{self.name}: the function must return one number, a tensor of shape (), got "
                f"{shapes}: use .sum() or .mean(), or call vjp or jacobian"
            )
        ones = [leaf_of(np.ones_like(array_of(self.outputs[0])))]
        gradient = gradients(self.outputs, self.inputs, ones, create=create)
        self.check_strict(gradient, recorded=create)
        return gradient

    def jacobian(self, *, forward: bool = False) -> Any:
        """Return the derivatives of all elements of the outputs by all arguments.

        They are computed by output elements, or by argument elements if `forward`.
        """
        outputs, inputs, sources = self.outputs, self.inputs, self.inputs
        tops: Items = outputs
        if forward:
            sources, tops = transposed(outputs, inputs)
        create = self.recorded(outputs)
        rows = [
            [gradients((top,), sources, (one,), create=create) for one in basis(t)]
            for top, t in zip(tops, inputs if forward else outputs, strict=True)
        ]

        def block(k: int, i: int) -> Any:
            items = [row[k] for row in rows[i]] if forward else [row[i] for row in rows[k]]
            filled = self.finished(items, [outputs[k] if forward else inputs[i]] * len(items))
            return _stacked(filled, outputs[k], inputs[i], axis=-1 if forward else 0)

        inner, outer = range(len(inputs)), range(len(outputs))
        return self.like_outputs([self.like_inputs([block(k, i) for i in inner]) for k in outer])


def gradients(outputs: Items, inputs: Sequence[Any], weights: Items, *, create: bool) -> list[Any]:
    """Return the gradient of the weighted outputs by each input; None without dependence."""
    pairs = [
        (t, v) for t, v in zip(outputs, weights, strict=True) if t is not None and t._requires_grad
    ]
    if not pairs:
        return [None] * len(inputs)
    tracked, seeds = zip(*pairs, strict=True)
    return list(
        grad(tracked, inputs, seeds, retain_graph=True, create_graph=create, allow_unused=True)
    )


def transposed(outputs: Items, inputs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Return weights u of the outputs, and the gradients J^T u of the weighted outputs.

    They are linear in u: the gradient of J^T u by u, weighted by v, is J v, the derivative of the
    outputs along v, and the value of u does not matter (J. Townsend, "A new trick for calculating
    Jacobian vector products", 2017).
    """
    with grad_mode.enable_grad(), ForwardMode(on=True):
        u = [
            leaf_of(np.zeros_like(0.0 if t is None else array_of(t))).requires_grad_()
            for t in outputs
        ]
        return u, gradients(outputs, inputs, u, create=True)


def copy_of(t: Any, *, create: bool) -> Any:
    """Return a copy of `t` to differentiate by; with `create`, a part of the graph of `t`."""
    if create and t._requires_grad:
        return call_op(reshape, (t,), {"shape": t._array.shape})
    return t.detach().requires_grad_()


def basis(t: Any) -> Iterator[Any]:
    """Yield the tensors of the shape of `t` that have one element 1, and all others 0."""
    for k in range(t._array.size):
        one = np.zeros(t._array.shape, t._array.dtype)
        one.reshape(-1)[k] = 1
        yield leaf_of(move_to_device(one, device_of(t)))


def _stacked(items: Sequence[Any], output: Any, t: Any, axis: int) -> Any:
    """Return the Jacobian of `output` by `t`, whose rows or columns are `items`."""
    shape = (*output._array.shape, *t._array.shape)
    if not items:
        return leaf_of(move_to_device(np.zeros(shape, t._array.dtype), device_of(t)))
    return call_op(reshape, (call_op(stack, items, {"axis": axis}),), {"shape": shape})


def sources(tensors: Sequence[Any]) -> Iterator[Any]:
    """Yield the leaves that `tensors` depend on and that require grad."""
    nodes = {id(t): t for t in tensors if t._requires_grad}
    pending = [*nodes.values()]
    for node in pending:
        if node._parents is None:
            yield node
        new = {id(a): a for a in node._parents or () if a is not None and id(a) not in nodes}
        nodes |= new
        pending += new.values()


def _positions(name: str, argnums: Any, count: int) -> list[int]:
    """Return `argnums` as a list, counted from the front."""
    positions = [argnums] if isinstance(argnums, int) else list(argnums)
    positions = [range(count)[k] if k in range(-count, count) else -1 for k in positions]
    if not positions or -1 in positions or len(set(positions)) < len(positions):
        raise ValueError(
            f"{name}: argnums is {argnums!r}, expected one or more of the {count} positional "
            "arguments, none twice"
        )
    return positions


def must_be_floats(name: str, leaves: Sequence[Any]) -> None:
    """Raise `TypeError` unless `leaves` are tensors of floats."""
    if not leaves:
        raise TypeError(
            f"{name} must be a tensor, or tensors nested in tuples, lists and dicts, got none"
        )
    for t in leaves:
        if not (isinstance(t, Node) and t._array.dtype.kind == "f"):
            kind = f"a tensor of {t._array.dtype}" if isinstance(t, Node) else type(t).__name__
            raise TypeError(f"{name} must be a tensor of floats (or several, nested), got {kind}")
