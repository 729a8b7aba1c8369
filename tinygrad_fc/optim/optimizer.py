"""Base classes of optimizers: parameter groups, state, and elementwise updates."""

from __future__ import annotations

import functools
import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from operator import index
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from tinygrad_fc.core.errors import warn_deprecated
from tinygrad_fc.core.grad_mode import OBSERVED, enable_grad, flags
from tinygrad_fc.core.graph import mutation_lock
from tinygrad_fc.core.node import as_array, leaf_of
from tinygrad_fc.core.seam import observer
from tinygrad_fc.nn import hooks
from tinygrad_fc.nn.parameter import refuse_module, reset_grad
from tinygrad_fc.tensors import Tensor

if TYPE_CHECKING:
    from tinygrad_fc.core.grad_fn import RemovableHandle

__all__ = ["Optimizer"]

Params = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
Group = dict[str, Any]
_flags = flags.get

_ADVICE = (
    "Parameters are tensors with requires_grad=True, and the nn.Parameters of a Module: "
    "SGD(model.parameters(), lr=0.1)"
)


class Range(NamedTuple):
    """The values that an option accepts: a predicate, and its description for messages."""

    accepts: Callable[[Any], bool]
    description: str

    @classmethod
    def of(cls, *choices: Any) -> Range:
        """Return the range of an option that accepts only `choices`."""
        return cls(lambda v: v in choices, " or ".join(map(repr, choices)))


required: Any = object()  # PyTorch's default of an option that has none: each group sets it

NON_NEGATIVE = Range(lambda v: 0 <= v < math.inf, "a finite number, at least 0")
FINITE = Range(math.isfinite, "a finite number")
POSITIVE = Range(lambda v: 0 < v < math.inf, "a finite number above 0")
FRACTION = Range(lambda v: 0 <= v <= 1, "between 0 and 1")
COUNT = Range(lambda v: index(v) >= 1, "an integer of at least 1")


def require(owner: Any, options: Mapping[str, Any], **ranges: Range) -> None:
    """Raise `ValueError` for one of `options` that is out of its range."""
    for option, accepted in ranges.items():
        value = options[option]
        try:
            valid = bool(accepted.accepts(value))
        except (TypeError, ValueError):  # ValueError: an array of several elements
            valid = False
        if not valid:
            message = f"{option} must be {accepted.description}, got {value!r:.80}"
            raise ValueError(f"{type(owner).__name__}: {message}")


_in_step: set[Optimizer] = set()  # an attribute would be a change of the object by a compiled step


def with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method `step` with the hooks of its optimizer called around the outermost call."""

    @functools.wraps(step)
    def hooked(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if self._hook_registries is None or self in _in_step:
            return step(self, *args, **kwargs) if args or kwargs else step(self)
        arguments = ((self, *args), kwargs)  # PyTorch's hooks get the optimizer twice
        for hook in hooks.functions(self, "_optimizer_step_pre_hooks"):
            replaced = hook(self, *arguments)
            arguments = arguments if replaced is None else replaced
        _in_step.add(self)
        try:
            result = step(*arguments[0], **arguments[1])
        finally:
            _in_step.remove(self)
        for hook in hooks.functions(self, "_optimizer_step_post_hooks"):
            hook(self, *arguments)
        return result

    return hooked


_UNUSED = frozenset({"foreach", "fused", "capturable", "differentiable"})


def _without_unused(init: Callable[..., None]) -> Callable[..., None]:
    """Return a constructor that drops PyTorch's options for other devices, unless it has them."""
    unused = _UNUSED - inspect.signature(init).parameters.keys()

    @functools.wraps(init)
    def accepting(self: Optimizer, *args: Any, **options: Any) -> None:
        init(self, *args, **{name: options[name] for name in options if name not in unused})

    return accepting


class Optimizer:
    """Base class of optimizers; a subclass defines `step`, or `_update(group)`, which `step` calls.

    Both change parameters in place, and the caller usually has gradients enabled: decorate the
    method with `@no_grad()`, as in PyTorch. The constructor passes `defaults`,
    a dict of all options, and `ranges` maps options to the values that are checked (none by
    default).

    `params` are tensors, groups (`{"params": [...], "lr": 0.01}`, whose options override
    `defaults`), or pairs (name, tensor). A parameter that is listed twice is updated once.
    `param_groups` holds the groups, whose options may be changed at any time; `state` maps each
    parameter to its state.

    Raises `ValueError` if there are no parameters, one is in two groups or is not a leaf, or an
    option is out of range; `TypeError` for a parameter that is not a tensor.

    >>> import tinygrad_fc as tg
    >>> tg.optim.SGD([], lr=0.1)
    Traceback (most recent call last):
        ...
    ValueError: SGD got no parameters. Parameters are tensors with requires_grad=True, and ...
    """

    ranges: ClassVar[Mapping[str, Range]] = {}
    has_stepped = False
    """Whether `step` was called: a scheduler warns if it steps first.

    True for a subclass with a `step` of its own, which might not set it.
    """

    _hook_registries: dict[str, dict[int, Any]] | None = None
    _optimizer_step_pre_hooks = hooks.Registry()
    _optimizer_step_post_hooks = hooks.Registry()
    _is_shaped = False  # whether tensors of the state have the shape of the parameter

    def __init_subclass__(cls) -> None:
        if "__init__" in vars(cls):
            cls.__init__ = _without_unused(cls.__init__)  # type: ignore[method-assign]
        if "step" in vars(cls):
            cls.step = with_hooks(cls.step)  # type: ignore[method-assign]
        if "has_stepped" not in vars(cls):
            cls.has_stepped = cls.step is not Optimizer.step

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state = defaultdict(dict)
        self.param_groups = []
        self._check(defaults)
        for group in self._groups(params):
            self.add_param_group(group)

    # Groups

    @property
    def param_groups(self) -> list[Group]:
        """The groups: dicts of parameters and options."""
        by = observer()
        return vars(self)["param_groups"] if by is None else by.groups(self)  # type: ignore[no-any-return]

    @param_groups.setter
    def param_groups(self, groups: list[Group]) -> None:
        vars(self)["param_groups"] = groups

    @property
    def state(self) -> defaultdict[Tensor, dict[str, Any]]:
        """The state of each parameter."""
        by = observer()
        return vars(self)["state"] if by is None else by.state(self)  # type: ignore[no-any-return]

    @state.setter
    def state(self, state: defaultdict[Tensor, dict[str, Any]]) -> None:
        vars(self)["state"] = state

    def _groups(self, params: Any) -> list[Any]:
        name = type(self).__name__
        if isinstance(params, Tensor | Mapping):
            raise TypeError(
                f"{name} takes a list of parameters, got a {type(params).__name__}: pass [tensor], "
                "[group], or dict.values()"
            )
        items = _listed(params, name)
        if not items:
            raise ValueError(
                f"{name} got no parameters. {_ADVICE}. A generator is empty after its first use"
            )
        return items if isinstance(items[0], dict) else [{"params": items}]

    def add_param_group(self, param_group: Group) -> None:
        """Add a group, a dict with "params" and the options that differ from the defaults.

        Raises the errors of the constructor, and then changes nothing.
        """
        owner = type(self).__name__
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(f"{owner}: a group is a dict with 'params', got {param_group!r:.80}")
        params = param_group["params"]
        items = [params] if isinstance(params, Tensor) else _listed(params, owner)
        named = [item if isinstance(item, tuple) else (None, item) for item in items]
        known = {id(p) for group in self.param_groups for p in group["params"]}
        unique: dict[int, tuple[str | None, Tensor]] = {}
        for name, p in named:
            self._check_parameter(p)
            if id(p) in known:
                raise ValueError(
                    f"{owner}: a parameter of shape {p.shape} is in more than one group. List it "
                    "in one of them"
                )
            unique.setdefault(id(p), (name, p))
        if len(unique) < len(named):
            warn_deprecated(
                f"{owner}: a parameter is in the list twice. It is updated once; list it once", 4
            )
        names = [name for name, _ in unique.values() if name is not None]
        group = {**self.defaults, **param_group, "params": [p for _, p in unique.values()]}
        if names:
            group["param_names"] = names
        if len(names) not in (0, len(unique)) or any(
            ("param_names" in other) != bool(names) for other in self.param_groups
        ):
            raise ValueError(f"{owner}: some parameters have names and some do not. Name all")
        if lacking := [option for option in group if group[option] is required]:
            raise ValueError(f"{owner}: a group sets no {lacking[0]!r}, which has no default")
        self._check(group)
        self.param_groups.append(group)

    def _check_parameter(self, p: Any) -> None:
        name = type(self).__name__
        if not isinstance(p, Tensor):
            raise TypeError(f"{name} optimizes tensors, got a {type(p).__name__}. {_ADVICE}")
        op: Any = p._op
        if not p.is_leaf:
            raise ValueError(
                f"{name} got the result of {op.name}, of shape {p.shape}, expected a leaf: the "
                "update would not reach the tensors that it is computed from. Pass those tensors, "
                "or x.detach().requires_grad_()"
            )

    def _check(self, options: Mapping[str, Any]) -> None:
        """Raise `ValueError` for an option that is out of range."""
        require(self, options, **{o: r for o, r in self.ranges.items() if o in self.defaults})

    # Steps

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set each `.grad` to None, or to zeros unless `set_to_none`; None stays None."""
        is_plain = set_to_none and not _flags() & OBSERVED
        for group in self.__dict__["param_groups"] if is_plain else self.param_groups:
            for p in group["params"]:
                if is_plain:
                    p._grad = None
                else:
                    reset_grad(p, set_to_none=set_to_none)

    @with_hooks
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; return the result of `closure`.

        `closure`, if present, is called first: it recomputes the loss and its gradients. A
        parameter whose `.grad` is None keeps its value and its state. Raises `ValueError`,
        before any update, if a learning rate is NaN.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if _flags() & OBSERVED:
            with observer().step(self):
                self._update_groups(self.param_groups)
        else:
            groups = self.__dict__["param_groups"]
            self.check_rates(groups)
            self._update_groups(groups)
        return loss

    def check_rates(self, groups: Iterable[Group]) -> None:
        """Raise `ValueError` if a learning rate is NaN; set `has_stepped`."""
        for group in groups:
            if math.isnan(group.get("lr", 0.0)):
                raise ValueError(f"{type(self).__name__}: the learning rate of a group is NaN")
        self.has_stepped = True

    def _update_groups(self, groups: Iterable[Group]) -> None:
        with mutation_lock:  # so that a backward pass in another thread sees the change
            for group in groups:
                self._update(group)

    def _update(self, group: Group) -> None:
        """Update the parameters of `group` that have a gradient."""
        raise NotImplementedError(f"{type(self).__name__} defines neither `_update` nor `step`")

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; return a handle that removes it.

        `args` begins with the optimizer, as in PyTorch. The hook may return other (args, kwargs).
        """
        return hooks.add(self, "_optimizer_step_pre_hooks", hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step; return a handle that removes it.

        >>> import tinygrad_fc as tg
        >>> optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=0.1)
        >>> handle = optimizer.register_step_post_hook(lambda *_: print("stepped"))
        >>> optimizer.step()
        stepped
        """
        return hooks.add(self, "_optimizer_step_post_hooks", hook)

    # State

    def state_dict(self) -> dict[str, Any]:
        """Return the state and the groups, with parameters replaced by their indices.

        `{"state": {0: {...}}, "param_groups": [{..., "params": [0, 1]}]}`; tensors are not copied.
        """
        parameters = [p for group in self.param_groups for p in group["params"]]
        index = {id(p): i for i, p in enumerate(parameters)}
        return {
            "state": {index[id(p)]: s for p, s in self.state.items() if id(p) in index},
            "param_groups": [
                {**group, "params": [index[id(p)] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a copy of a state dict; cast its tensors, but not `step`, to the parameters' dtypes.

        Raises `ValueError` if groups, their sizes or the shapes of tensors differ, or an option is
        out of range, and then changes nothing.
        """
        from copy import deepcopy  # noqa: PLC0415  training does without this import

        loaded = deepcopy(list(state_dict["param_groups"]))
        counts = [len(group["params"]) for group in self.param_groups]
        loaded_counts = [len(group["params"]) for group in loaded]
        if counts != loaded_counts:
            raise ValueError(
                f"{type(self).__name__} has groups of {counts} parameters, and the state dict has "
                f"groups of {loaded_counts}. Build the optimizer with the groups that were saved"
            )
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for group, new in zip(self.param_groups, loaded, strict=True):
            indices, new["params"] = new["params"], group["params"]
            for option, value in group.items():
                if option in self.defaults or option == "param_names":
                    new.setdefault(option, value)
            self._check({**new, "lr": 0.0})  # a scheduler may have set any learning rate
            for i, p in zip(indices, group["params"], strict=True):
                saved = state_dict["state"].get(i)
                if saved:
                    state[p] = {key: self._cast(p, key, value) for key, value in saved.items()}
                    self._check_state(p, state[p], new)
        self.state, self.param_groups = state, loaded

    def _cast(self, p: Tensor, key: str, value: Any) -> Any:
        """Return a copy of a saved `value` as state of `p`; raise if the shape differs."""
        if not hasattr(value, "__array__"):  # tensors of PyTorch have it, too
            from copy import deepcopy  # noqa: PLC0415

            return deepcopy(value)
        array = as_array(value)
        if self._is_shaped and array.ndim and array.shape != p.shape:
            raise ValueError(
                f"{type(self).__name__}: the state dict has {key} of shape {array.shape} for a "
                f"parameter of shape {p.shape}"
            )
        return leaf_of(np.array(array, dtype=array.dtype if key == "step" else p.dtype))

    def _check_state(self, p: Tensor, state: dict[str, Any], group: Group) -> None:
        """Raise `ValueError` if a loaded `state` does not fit the parameter `p` of `group`."""

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines += ["", f"Parameter Group {i}"]
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return f"{type(self).__name__} ({chr(10).join(lines)}\n)"


def options_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the options among the `locals()` of an `__init__`; lists become tuples.

    So the signature is the only list of the options. Lists are converted since groups share them.
    """
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in arguments.items()
        if name not in ("self", "params", "__class__")
    }


def _listed(params: Any, owner: str) -> list[Any]:
    refuse_module(params, owner)
    if isinstance(params, set | frozenset):
        raise TypeError(f"{owner}: parameters need an order, got a set: pass a list")
    if not isinstance(params, Iterable):
        raise TypeError(f"{owner} takes a list of parameters, got {params!r:.80}. {_ADVICE}")
    return list(params)
