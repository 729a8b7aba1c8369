"""Derivatives along a direction by dual numbers, under the names of `torch.autograd.forward_ad`.

Between `enter_dual_level()` and `exit_dual_level()`, `make_dual(x, v)` returns a copy of x that has
the tangent v, and `unpack_dual(y).tangent` is the derivative of y along the tangents of all duals.
It is computed by two backward passes (`autograd.functional.transposed`): so a dual requires grad,
and results of `no_grad()` have no tangent.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from tinygrad_fc.autograd.functional import copy_of, gradients, must_be_floats, sources, transposed
from tinygrad_fc.core import grad_mode
from tinygrad_fc.core.errors import check_argument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinygrad_fc.tensors import Tensor

__all__ = ["UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level"]
__all__ += ["make_dual", "unpack_dual"]

# The duals of the level with their tangents; None outside of a level.
_duals: ContextVar[list[tuple[Tensor, Tensor]] | None] = ContextVar("_duals", default=None)


class UnpackedDualTensor(NamedTuple):
    """The value of a tensor, and its derivative along the tangents of the duals, or None."""

    primal: Tensor
    tangent: Tensor | None


def enter_dual_level() -> int:
    """Begin a level of duals, and return its number, 0. Raises `RuntimeError` for a nested one.

    >>> from tinygrad_fc.autograd import forward_ad
    >>> forward_ad.enter_dual_level(), forward_ad.exit_dual_level()
    (0, None)
    """
    if _duals.get() is not None:
        raise RuntimeError("enter_dual_level: levels do not nest. Use func.jvp, which does")
    _duals.set([])
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End the level: its duals have no tangents any more.

    >>> from tinygrad_fc.autograd import forward_ad
    >>> level = forward_ad.enter_dual_level()
    >>> forward_ad.exit_dual_level(level=level)
    """
    del level
    _duals.set(None)


@contextmanager
def dual_level() -> Iterator[int]:
    """Return a context between `enter_dual_level` and `exit_dual_level`.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc.autograd import forward_ad
    >>> with forward_ad.dual_level():
    ...     x = forward_ad.make_dual(tg.tensor(3.0), tg.tensor(1.0))
    ...     forward_ad.unpack_dual(x * x).tangent
    tensor(6.)
    """
    level = enter_dual_level()
    try:
        yield level
    finally:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """Return a copy of `tensor` with a tangent, which has its shape.

    Raises `RuntimeError` outside of a level, `TypeError` for a tensor that is not of floats,
    `ValueError` for a tangent of another shape.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc.autograd import forward_ad
    >>> with forward_ad.dual_level():
    ...     x = forward_ad.make_dual(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 0.0]))
    ...     forward_ad.unpack_dual(x**2).tangent
    tensor([2., 0.])
    """
    del level
    duals = _duals.get()
    if duals is None:
        raise RuntimeError("make_dual: there is no level. Write `with dual_level():`")
    must_be_floats("make_dual: tensor", [tensor])
    fits = tensor.shape == tangent.shape
    check_argument(fits, "make_dual", f"one of shape {tensor.shape}", tangent=tangent)
    duals.append((copy_of(tensor, create=grad_mode.is_grad_enabled()), tangent))
    return duals[-1][0]


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """Return the value of `tensor` and its tangent; None for one that depends on no dual.

    Both are part of the graph of the other tensors that they depend on and that require grad.

    >>> import tinygrad_fc as tg
    >>> from tinygrad_fc.autograd import forward_ad
    >>> with forward_ad.dual_level():
    ...     x = forward_ad.make_dual(tg.tensor(3.0), tg.tensor(1.0))
    ...     forward_ad.unpack_dual(x.square()).primal
    tensor(9.)
    """
    del level
    duals = _duals.get() or []
    inputs, tangents = [dual for dual, _ in duals], [tangent for _, tangent in duals]
    along = next((tangent for dual, tangent in duals if dual is tensor), None)
    others = {id(t) for t in sources([tensor, *tangents])}.difference(map(id, inputs))
    if duals and along is None:
        u, back = transposed([tensor], inputs)
        (along,) = gradients(back, u, tangents, create=bool(others))
    return UnpackedDualTensor(tensor if others else tensor.detach(), along)
