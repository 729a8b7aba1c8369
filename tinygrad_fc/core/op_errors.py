"""Errors of calls of ops: what was passed, what was expected, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fc.core import errors
from tinygrad_fc.core.device import CPU, device_of, move_to_device
from tinygrad_fc.core.node import array_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinygrad_fc.domain import Domain

FORWARD_ERRORS = (IndexError, ValueError, TypeError, AttributeError)
"""Errors that array functions raise for wrong arguments."""


class CallErrors:
    """The base of `Op` with the errors of its calls."""

    __slots__ = ()

    name: str
    names: tuple[str, ...]
    defaults: dict[str, Any]
    domain: tuple[Domain, ...]
    accepted: frozenset[str]
    operands: Any

    def _signature_error(self, args: Sequence[Any], settings: Mapping[str, Any]) -> TypeError:
        call = [f"{len(args)} arguments", *(f"{k}={v!r:.60}" for k, v in settings.items())]
        known = "".join(f" and {name}=" for name in sorted(self.accepted))
        return TypeError(
            f"{self.name} takes {len(self.domain)} tensors or arrays{known}; got {', '.join(call)}"
        )

    def _is_absent(self, i: int, operand: Any) -> bool:
        """Return whether operand `i` is None, and that is its default."""
        return operand is None and i < len(self.names) and self.names[i] in self.defaults

    def argument(self, i: int) -> str:
        """Return the name of argument `i` in messages, such as "argument 1 (y)"."""
        return argument_name(i, self.operands[i] if i < len(self.operands) else "")

    def check_finite(self, out: Any, arrays: Sequence[Any], gradient_of: str = "") -> None:
        """Raise `AnomalyError` if `out` is not finite though all of `arrays` are.

        `gradient_of` names an argument if `out` is its gradient, and `arrays` the cotangent.
        """
        out, *arrays = (move_to_device(array_of(a), CPU) for a in (out, *arrays))
        if _finite(out) or not all(map(_finite, arrays)):
            return
        at = tuple(int(k) for k in np.argwhere(~np.isfinite(out))[0])
        message = (
            f"{gradient_of}: the gradient is {out[at]} at index {at}, though that of the result is "
            "finite: the operation has no finite derivative at this value"
        )
        if not gradient_of:
            values = "; ".join(
                f"argument {i} {_value_at(out, at, a)}" for i, a in enumerate(arrays)
            )
            message = f"{self.name} returned {out[at]} at index {at} for finite arguments: {values}"
        raise errors.AnomalyError(
            f"{message}. Keep the argument inside the domain of the operation (clamp it, or add a "
            "small number), or check the op that computed it"
        )

    def raise_described(self, error: Exception, arrays: Sequence[Any], settings: Any) -> None:
        """Raise an error with the op and its arguments from `error` of the forward function.

        Return for errors of this package, and for types that array functions do not raise for
        wrong arguments. The new error is not assigned to a variable: a traceback that refers to
        itself would keep tensors alive.
        """
        if isinstance(error, RuntimeError) or not isinstance(error, FORWARD_ERRORS):
            return
        non_numeric = next(
            (i for i, a in enumerate(arrays) if not (is_numeric(a) or self._is_absent(i, a))), None
        )
        kind = errors.error_class(error)
        if non_numeric is not None and kind is not errors.RangeError:
            raise self._operand_error(arrays, non_numeric, settings) from error
        if isinstance(error, AttributeError):  # an op that takes no numbers got one
            number = (i for i, a in enumerate(arrays) if isinstance(a, bool | int | float))
            if (i := next(number, None)) is not None:
                raise self._operand_error(arrays, i, settings, "a tensor or an array") from error
        devices = dict.fromkeys(str(device_of(a)) for a in arrays if hasattr(a, "dtype"))
        broadcasts = not settings and all(d.shape is None for d in self.domain)
        reason = broadcasts and kind is errors.ShapeError and _mismatch(list(map(np.shape, arrays)))
        if broadcasts and kind is errors.ShapeError and not reason:
            kind = errors.ArgumentError  # the shapes fit: the values do not
        if len(devices) > 1:
            reason = (
                f"its arguments are on devices {' and '.join(devices)}. Move one of them: "
                "x.to(y.device)"
            )
        raise kind(f"{self._call(arrays, settings)}: {reason or error}") from error

    def _operand_error(
        self,
        arrays: Sequence[Any],
        i: int,
        settings: Any,
        expected: str = "a tensor, an array or a number",
    ) -> errors.DtypeError:
        return errors.DtypeError(
            f"{self._call(arrays, settings)}: {self.argument(i)} is {arrays[i]!r:.60}; pass "
            f"{expected}"
        )

    def check_real(self, arrays: Sequence[Any], settings: Any, dtype: np.dtype[Any]) -> None:
        """Raise `DtypeError` unless a result of this `dtype` has real numbers or booleans."""
        if dtype.kind not in "fiub":
            raise errors.DtypeError(
                f"{self._call(arrays, settings)}: the result would be {dtype}; pass real numbers"
            )

    def _call(self, arrays: Sequence[Any], settings: Mapping[str, Any]) -> str:
        all_numeric = all(a is None or is_numeric(a) for a in arrays)
        shapes = [np.shape(a) if all_numeric or is_numeric(a) else a for a in arrays]
        return f"{self.name} cannot take " + ", ".join(
            [*(f"{s!r:.60}" for s in shapes), *(f"{k}={v!r:.60}" for k, v in settings.items())]
        )


def argument_name(i: int, name: str) -> str:
    """Return the name of argument `i` in messages."""
    return f"argument {i} ({name})" if name else f"argument {i}"


def no_rule_error(function: Any, count: int = 1) -> errors.NoRuleError:
    """Return the error for a tensor passed to `function` of `count` arrays, which is no op."""
    name = qualified_name(function)
    count = getattr(function, "nin", count)
    rule = f"lambda g, out, {', '.join('xyzuvw'[:count])}: ..."
    return errors.NoRuleError(
        f"{name} has no rule for tensors. Add one: tinygrad_fc.op({name}, "
        f"domain=({'real, ' * count}), rules=({(rule + ', ') * count})), with the gradient of each "
        "argument in place of the dots, and `from tinygrad_fc.domain import real`; or, if no "
        f"gradient is needed, call {name}(x.detach()), which returns an array"
    )


def qualified_name(function: Any) -> str:
    """Return the qualified name of `function`, such as `np.linalg.solve`, also of a ufunc."""
    name = getattr(function, "__name__", repr(function))
    owner = getattr(function, "__self__", None)
    if isinstance(owner, np.ufunc):
        return f"{qualified_name(owner)}.{name}"
    module = getattr(function, "__module__", None)
    if module is None and isinstance(function, np.ufunc):
        module = "numpy" if getattr(np, name, None) is function else "scipy.special"
    return f"{module}.{name}".replace("numpy.", "np.") if module else name


def is_numeric(operand: Any) -> bool:
    """Return whether `operand` is a numeric array or converts to one."""
    if operand is None:
        return False
    try:
        return (getattr(operand, "dtype", None) or np.asarray(operand).dtype).kind in "fiub"
    except ValueError:  # rows of several lengths
        return False


def _value_at(out: Any, at: tuple[int, ...], array: Any) -> str:
    """Describe `array` at the index `at` of `out`; as a whole if it does not broadcast to it."""
    try:
        return f"there is {np.broadcast_to(array, out.shape)[at]}"
    except ValueError:
        return f"has shape {array.shape}"


def _finite(array: Any) -> bool:
    a = np.asarray(array)
    return a.dtype.kind != "f" or bool(np.isfinite(a).all())


def _mismatch(shapes: Sequence[tuple[int, ...]]) -> str:
    """Describe the axis on which `shapes` do not broadcast; return "" if they broadcast."""
    for axis in range(1, max(map(len, shapes), default=0) + 1):
        sizes = {shape[-axis] for shape in shapes if len(shape) >= axis} - {1}
        if len(sizes) > 1:
            both = " and ".join(map(str, sorted(sizes)))
            return (
                f"the shapes do not broadcast, since axis -{axis} (counted from the right) has "
                f"sizes {both}, and neither is 1. Reshape or transpose one of them to match"
            )
    return ""
