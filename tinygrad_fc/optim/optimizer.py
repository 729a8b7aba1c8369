"""What the optimizers share: groups of parameters, state, and the checks of both."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tinygrad_fc.functional.arguments import as_array
from tinygrad_fc.grad_mode import enable_grad
from tinygrad_fc.graph import changing, wrap
from tinygrad_fc.nn.parameter import forget_grad, refuse_holder
from tinygrad_fc.tensor import Tensor

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
Group = dict[str, Any]

_WHAT_COUNTS = (
    "What counts: tensors made with requires_grad=True, and the nn.Parameters that a Module holds "
    "as attributes, or in layers, lists, tuples and dicts that are attributes: "
    "`SGD(model.parameters(), lr=0.1)`"
)


class Limit(NamedTuple):
    """What an option may be, as a test and in words."""

    holds: Callable[[Any], bool]
    words: str


AT_LEAST_0 = Limit(lambda v: 0 <= v < math.inf, "a finite number, at least 0")
FRACTION = Limit(lambda v: 0 <= v < 1, "at least 0 and below 1")
PART = Limit(lambda v: 0 <= v <= 1, "between 0 and 1")
FRACTIONS = Limit(
    lambda v: len(v) == 2 and all(0 <= each < 1 for each in v),
    "two numbers, each at least 0 and below 1",
)
NUMBER = Limit(math.isfinite, "a finite number")


class Optimizer:
    """Changes parameters by their gradients. A subclass says how, in `_update(group)`.

    `params` are tensors, dicts (each a group: `{"params": [...], "lr": 0.01}`, whose options
    override `defaults`), or pairs of a name and a tensor. A parameter that is given twice is one;
    in two groups it raises `ValueError`, as do no parameters at all, the results of operations,
    and options out of range. `TypeError` for what is not a tensor.

    `param_groups` are the groups, whose options may be changed at any time; `state` is what is
    kept for each parameter.

    >>> import tinygrad_fc as tg
    >>> tg.optim.SGD([], lr=0.1)
    Traceback (most recent call last):
        ...
    ValueError: SGD got no parameters. What counts: tensors made with requires_grad=True, ...
    """

    limits: ClassVar[Mapping[str, Limit]] = {}

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._check(defaults)
        for group in self._groups(params):
            self.add_param_group(group)

    # Groups

    def _groups(self, params: Any) -> list[Any]:
        name = type(self).__name__
        if isinstance(params, Tensor):
            raise TypeError(f"{name} takes several parameters, got one Tensor: pass [tensor]")
        _ordered(params, name)
        if isinstance(params, Mapping):
            raise TypeError(
                f"{name} takes parameters in a list, got a dict: pass [group] where it is a group "
                "with its options, or dict.values()"
            )
        given = list(params)
        if not given:
            raise ValueError(
                f"{name} got no parameters. {_WHAT_COUNTS}. A generator is empty once it was used"
            )
        return given if isinstance(given[0], dict) else [{"params": given}]

    def add_param_group(self, param_group: Group) -> None:
        """Add a group, a dict with "params" and with those options that differ from the defaults.

        Raises as the class does, and changes nothing then.
        """
        name = type(self).__name__
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(f"a group of {name} is a dict with 'params', got {param_group!r:.80}")
        given = param_group["params"]
        _ordered(given, name)
        given = [given] if isinstance(given, Tensor) else list(given)
        names = [item[0] for item in given if isinstance(item, tuple)]
        tensors = [item[1] if isinstance(item, tuple) else item for item in given]
        if names and len(names) != len(given):
            raise ValueError(f"{name} got some parameters with names and some without: name all")
        known = {id(p) for group in self.param_groups for p in group["params"]}
        unique: dict[int, Tensor] = {}
        for p in tensors:
            self._check_parameter(p)
            if id(p) in known:
                raise ValueError(
                    f"{name} got a parameter {p.shape} in more than one group: whose options hold "
                    "for it cannot be told"
                )
            unique.setdefault(id(p), p)
        # The parameters come first in a group, as in PyTorch, then its options in its own order.
        group = {**param_group, "params": list(unique.values())}
        if names:
            by_id = {
                id(p): each for each, p in zip(reversed(names), reversed(tensors), strict=True)
            }
            group["param_names"] = [by_id[key] for key in unique]
        if any(("param_names" in other) != bool(names) for other in self.param_groups):
            raise ValueError(f"{name} got one group with names and one without: name all, or none")
        for option, value in self.defaults.items():
            group.setdefault(option, value)
        self._check(group)
        self.param_groups.append(group)

    def _check_parameter(self, p: Any) -> None:
        name = type(self).__name__
        if not isinstance(p, Tensor):
            raise TypeError(f"{name} optimizes tensors, got a {type(p).__name__}. {_WHAT_COUNTS}")
        made_by: Any = p._op
        if not p.is_leaf:
            raise ValueError(
                f"{name} got the result of {made_by.name}, of shape {p.shape}: changing it changes "
                "nothing that it is computed from. Pass the tensor that it is made of, or cut it "
                "off: x.detach().requires_grad_()"
            )
        if isinstance(p._array, np.ndarray) and not p._array.flags.writeable:
            raise ValueError(
                f"{name} cannot change a parameter {p.shape} whose memory is read-only: pass a copy"
            )

    def _check(self, options: Mapping[str, Any]) -> None:
        """Raise `ValueError` for an option that is out of its range."""
        for option, limit in self.limits.items():
            value = options[option]
            try:
                holds = bool(limit.holds(value))
            except (TypeError, ValueError):  # ValueError: an array of several
                holds = False
            if not holds:
                raise ValueError(
                    f"{type(self).__name__}: {option} must be {limit.words}, got {value!r}"
                )

    # Steps

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the `.grad` of every parameter, or fill it with zeros if `set_to_none=False`."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p._grad = None
                else:
                    forget_grad(p, set_to_none=False)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient; return what `closure` does.

        `closure`, if given, is called first, to compute the loss anew and go backward. A
        parameter whose `.grad` is None is left alone, and so is its state. Raises `ValueError`
        where a learning rate has become NaN, before anything is changed.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            if math.isnan(group.get("lr", 0.0)):
                raise ValueError(f"{type(self).__name__}: the learning rate of a group is NaN")
        with changing:
            for group in self.param_groups:
                self._update(group)
        return loss

    def _update(self, group: Group) -> None:
        """Change the parameters of `group` that have a gradient."""
        raise NotImplementedError(f"{type(self).__name__} has no `_update(group)`, nor a `step`")

    # State

    def state_dict(self) -> dict[str, Any]:
        """Return the state and the options, with parameters as numbers in the order of the groups.

        `{"state": {0: {...}}, "param_groups": [{..., "params": [0, 1]}]}`; the tensors in it are
        those of the optimizer, not copies.
        """
        parameters = [p for group in self.param_groups for p in group["params"]]
        number = {id(p): i for i, p in enumerate(parameters)}
        return {
            "state": {number[id(p)]: kept for p, kept in self.state.items() if id(p) in number},
            "param_groups": [
                {
                    **{option: value for option, value in group.items() if option != "params"},
                    "params": [number[id(p)] for p in group["params"]],
                }
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned, copied; tensors get their parameter's dtype.

        Raises `ValueError` where groups, their sizes or the shapes of tensors differ from those
        here, or an option is out of range, and changes nothing then.
        """
        name = type(self).__name__
        saved = copy.deepcopy(list(state_dict["param_groups"]))
        counts = [len(group["params"]) for group in self.param_groups]
        saved_counts = [len(group["params"]) for group in saved]
        if counts != saved_counts:
            raise ValueError(
                f"{name} has groups of {counts} parameters, and the state dict has groups of "
                f"{saved_counts}: build the optimizer as the one that was saved"
            )
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for group, loaded in zip(self.param_groups, saved, strict=True):
            numbers, loaded["params"] = loaded["params"], group["params"]
            for option, value in group.items():
                if option in self.defaults or option == "param_names":
                    loaded.setdefault(option, value)
            rate: Any = loaded.get("lr")
            # A schedule may have led a learning rate below 0, and is gone on from all the same.
            below = isinstance(rate, Real) and -math.inf < float(rate) < 0
            self._check({**loaded, "lr": 0.0} if below else loaded)
            for number, p in zip(numbers, group["params"], strict=True):
                kept = state_dict["state"].get(number)
                if kept:
                    state[p] = {key: self._fitted(p, key, value) for key, value in kept.items()}
                    self._check_loaded(p, state[p], loaded)
        self.state, self.param_groups = state, saved

    def _fitted(self, p: Tensor, key: str, value: Any) -> Any:
        """Return a copy of a saved `value` as the state of `p`; raise where the shape differs."""
        if not isinstance(value, Tensor | np.ndarray):
            return copy.deepcopy(value)
        array = as_array(value)
        if array.ndim and array.shape != p.shape:
            raise ValueError(
                f"the state dict has {key} of shape {array.shape} for a parameter of shape "
                f"{p.shape}"
            )
        return wrap(np.array(array, dtype=array.dtype if key == "step" else p.dtype))

    def _check_loaded(self, p: Tensor, kept: dict[str, Any], group: Group) -> None:
        """Raise `ValueError` where what is `kept` cannot be the state of `p`, in `group`."""

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines += ["", f"Parameter Group {i}"]
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return f"{type(self).__name__} ({chr(10).join(lines)}\n)"


def unsupported(**options: Any) -> dict[str, Any]:
    """Return PyTorch's options for other ways to the same result, which are off here.

    Raises `ValueError` for one that is on.
    """
    for option, value in options.items():
        if value:
            raise ValueError(
                f"{option}={value!r} is not there: parameters are updated one after the other, in "
                f"place and unrecorded; leave {option} out"
            )
    return options


def pair(values: Any) -> Any:
    """Return a list as a tuple, so that groups don't share what can be changed."""
    return tuple(values) if isinstance(values, list) else values


def _ordered(params: Any, name: str) -> None:
    refuse_holder(params, name, "parameters")
    if isinstance(params, set | frozenset):
        raise TypeError(f"{name} needs its parameters in an order, got a set: pass a list")
    if not isinstance(params, Iterable):
        raise TypeError(f"{name} takes a list of parameters, got {params!r:.80}. {_WHAT_COUNTS}")
