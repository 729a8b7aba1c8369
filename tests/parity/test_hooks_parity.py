"""Hooks of modules, of optimizers and of tensors, side by side with PyTorch's."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from against_torch import array
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg

torch = pytest.importorskip("torch")


def shown(value: Any) -> Any:
    """Return tensors inside of `value` as lists of rounded numbers."""
    if isinstance(value, tuple | list):
        return [shown(v) for v in value]
    if isinstance(value, dict):
        return {name: shown(v) for name, v in value.items()}
    return np.round(array(value), 10).tolist() if hasattr(value, "shape") else value


def assert_same_logs(log_of: Callable[[Any], Any]) -> None:
    ours, theirs = map(log_of, (tg, torch))
    assert ours == theirs


def vector(lib: Any, *values: float, requires_grad: bool = True) -> Any:
    return lib.tensor(values, dtype=lib.float64, requires_grad=requires_grad)


def pair_class(lib: Any) -> Any:
    """Return a module of two inputs and two outputs, with a keyword, that may raise."""

    class Pair(lib.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = lib.nn.Parameter(vector(lib, 2.0, -1.0))
            self.raises = False

        def forward(self, a: Any, b: Any, scale: float = 1.0) -> Any:
            if self.raises:
                raise ValueError("raised")
            return a * self.weight * scale, a + b

    return Pair


KINDS = ["forward_pre", "forward", "full_backward_pre", "full_backward"]
DESCRIPTION: dict[str, Any] = {
    "kind": st.sampled_from(KINDS),
    "prepend": st.booleans(),
    "with_kwargs": st.booleans(),
    "always_call": st.booleans(),
    "changes": st.booleans(),
    "raises": st.sampled_from([False, False, False, True]),
    "removed": st.sampled_from([False, False, True]),
}
hooks = st.lists(st.fixed_dictionaries(DESCRIPTION), max_size=5)
HOOK: dict[str, Any] = {**dict.fromkeys(DESCRIPTION, False), "kind": "forward"}
AFTER_AN_ERROR = [
    {**HOOK, "always_call": True, "changes": True},
    {**HOOK, "always_call": True},
    {**HOOK, "prepend": True, "raises": True},
]


def changed(kind: str, values: tuple[Any, ...], with_kwargs: bool) -> Any:
    """Return what a hook returns to change something."""
    if kind == "forward_pre":
        args = tuple(v * 2 for v in values[0])
        return (args, {**values[1], "scale": 3.0}) if with_kwargs else args
    if kind == "forward":
        return tuple(v * 3 for v in values[-1]) if values[-1] is not None else None
    return tuple(g if g is None else g * 0.5 for g in values[0])


def register(
    module: Any, number: int, hook: dict[str, Any], log: list[Any], require: Sequence[bool] = ()
) -> None:
    kind = hook["kind"]
    has_kwargs = kind in ("forward_pre", "forward")
    options = {"prepend": hook["prepend"]}
    if has_kwargs:
        options["with_kwargs"] = hook["with_kwargs"]
    if kind == "forward":
        options["always_call"] = hook["always_call"]

    def function(m: Any, *values: Any) -> Any:
        assert m is module
        logged = values
        if kind == "full_backward" and require:  # PyTorch has None or zeros where none is required
            gradients = (g if r else None for g, r in zip(values[0], require, strict=True))
            logged = (tuple(gradients), *values[1:])
        log.append((number, kind, shown(logged)))
        if hook["raises"] and has_kwargs:
            raise ValueError("raised in a hook")
        with_kwargs = has_kwargs and hook["with_kwargs"]
        return changed(kind, values, with_kwargs) if hook["changes"] else None

    handle = getattr(module, f"register_{kind}_hook")(function, **options)
    if hook["removed"]:
        handle.remove()


@pytest.mark.filterwarnings("ignore:.*(always_call|Full backward hook is firing):UserWarning")
@settings(max_examples=4 * settings.default.max_examples)
@given(
    hooks,
    st.sampled_from([(False, False), (True, False), (True, True), (False, True)]),
    st.sampled_from([{}, {"scale": 2.0}]),
    st.booleans(),
    st.booleans(),
)
@example(described=AFTER_AN_ERROR, require=(False, False), kwargs={}, raises=False, twice=False)
def test_hooks_of_modules_are_called_alike(
    described: list[dict[str, Any]], require: Any, kwargs: Any, raises: bool, twice: bool
):
    def log_of(lib: Any) -> Any:
        log: list[Any] = []
        module = pair_class(lib)()
        module.raises = raises
        values = ((1.0, 2.0), (0.5, -3.0))
        inputs = [vector(lib, *v, requires_grad=r) for v, r in zip(values, require, strict=True)]
        for number, hook in enumerate(described):
            register(module, number, hook, log, require)
        for _ in range(1 + twice):
            try:
                first, second = module(*inputs, **kwargs)
            except ValueError as error:
                log.append(str(error))
                continue
            log.append(shown((first, second)))
            ((first * lib.tensor([0.3, 0.7])).sum() + (second * second).sum()).backward()
            log.append(shown([x.grad for x in (*inputs, module.weight)]))
        registries = ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks")
        return log, [len(getattr(module, name)) for name in registries]

    assert_same_logs(log_of)


@pytest.mark.parametrize(
    "returned", [(1,), (1, 2, 3)], ids=["too few gradients", "too many gradients"]
)
@pytest.mark.parametrize("kind", ["full_backward", "full_backward_pre"])
def test_backward_hooks_that_return_another_number_of_gradients(kind: str, returned: Any):
    for lib in (tg, torch):
        module, x = pair_class(lib)(), vector(lib, 1.0, 1.0)
        wrong = tuple(vector(lib, 1.0, 1.0) for _ in returned)
        getattr(module, f"register_{kind}_hook")(lambda *_, wrong=wrong: wrong)
        first, second = module(x, x)
        with pytest.raises(RuntimeError, match=r"returned|number of grad"):
            (first + second).sum().backward()


def test_hooks_of_states():
    def log_of(lib: Any) -> Any:
        log: list[Any] = []
        model = lib.nn.Sequential(lib.nn.Linear(1, 1), lib.nn.Linear(1, 1))
        inner = model[1]

        def before(m: Any, prefix: str, keep_vars: bool) -> None:
            log.append(("before", type(m).__name__, prefix, keep_vars))

        def after(m: Any, state: Any, prefix: str, metadata: Any) -> None:
            log.append(("after", type(m).__name__, prefix, dict(metadata), list(state)))
            state[f"{prefix}renamed"] = state.pop(f"{prefix}weight", None)

        def loading(m: Any, state: Any, prefix: str, *rest: Any) -> None:
            log.append(("loading", type(m).__name__, prefix, list(state), *map(shown, rest[1:])))
            state[f"{prefix}weight"] = state.pop(f"{prefix}renamed")

        def loaded(m: Any, keys: Any) -> None:
            log.append(("loaded", type(m).__name__, list(keys.missing_keys), len(keys)))
            keys.missing_keys.clear()

        for module in (model, inner):
            module.register_state_dict_pre_hook(before)
        inner.register_state_dict_post_hook(after)
        inner.register_load_state_dict_pre_hook(loading)
        inner._register_load_state_dict_pre_hook(
            lambda state, prefix, *_: log.append(("private", prefix, sorted(state)))
        )
        for module in (model, inner):
            module.register_load_state_dict_post_hook(loaded)
        state = model.state_dict()
        log.append((list(state), list(state._metadata)))
        log.append(tuple(map(list, model.load_state_dict(state))))
        del state["1.bias"]
        log.append(tuple(map(list, model.load_state_dict(state))))
        return log

    assert_same_logs(log_of)


def quadratic(lib: Any) -> tuple[Any, Any]:
    w = lib.nn.Parameter(vector(lib, 1.0, -2.0))
    return w, lambda: w.square().sum()


@pytest.mark.parametrize("name", ["SGD", "Adam", "LBFGS"])
def test_hooks_of_steps(name: str):
    def log_of(lib: Any) -> Any:
        w, loss = quadratic(lib)
        optimizer, log = getattr(lib.optim, name)([w], lr=0.1), list[Any]()

        def closure() -> Any:
            optimizer.zero_grad()
            total = loss()
            total.backward()
            return total

        def note(kind: str, owner: Any, args: Any, kwargs: Any) -> None:
            log.append((kind, type(owner).__name__, len(args), list(kwargs), shown(w)))

        handles = []
        for kind in ("pre", "post", "pre"):
            register = getattr(optimizer, f"register_step_{kind}_hook")
            handles.append(register(partial(note, kind)))
        log.append(shown(optimizer.step(closure)))
        handles[0].remove()
        log.append(shown(optimizer.step(closure=closure)))
        replaced = optimizer.register_step_pre_hook(
            lambda _, args, __: (args[:1], {"closure": closure})
        )
        log.append(shown(optimizer.step(None)))
        replaced.remove()
        log.append(shown(w))
        return log

    assert_same_logs(log_of)


def test_hooks_of_accumulated_gradients():
    def log_of(lib: Any) -> Any:
        w, loss = quadratic(lib)
        log: list[Any] = []

        def step(p: Any) -> None:  # an optimizer in the backward pass
            log.append((p is w, shown(p.grad)))
            p.data -= 0.1 * p.grad
            p.grad = None

        handle = w.register_post_accumulate_grad_hook(step)
        for _ in range(3):
            loss().backward()
        log.append((shown(w), w.grad, shown(lib.autograd.grad(loss(), w))))
        handle.remove()
        loss().backward()
        log.append(shown(w.grad))
        for wrong in (w * 2, lib.ones(2)):
            with pytest.raises(RuntimeError):
                wrong.register_post_accumulate_grad_hook(print)
        return log

    assert_same_logs(log_of)


TENSORS = ("w", "x", "y", "z", "loss")
KINDS_OF_TENSORS = ("log", "scale", "multiply", "removed", "once", "retain", "retain")


def log_of_tensors(lib: Any, described: list[tuple[str, str]], names: list[str], how: str) -> Any:
    """Return what hooks get, the gradients, those that are retained, and those of gradients."""
    w, x, unused = leaves = [vector(lib, 1.0, 2.0), vector(lib, 3.0, -1.0), vector(lib, 0.5)]
    y = w * x
    z = y * 3 + y * y
    loss = ((z + 1) ** 2).sum()
    tensors = {"w": w, "x": x, "y": y, "z": z, "loss": loss, "unused": unused}
    log: dict[str, list[Any]] = {name: [] for name in (*tensors, "gradients", "second")}

    def register(name: str, kind: str) -> None:
        def hook(g: Any) -> Any:
            log[name].append((kind, shown(g)))
            if kind == "once":
                handle.remove()
            return {"scale": g * 10, "multiply": g * w.sum()}.get(kind)

        handle = tensors[name].register_hook(hook)
        if kind == "removed":
            handle.remove()

    for name, kind in described:
        tensors[name].retain_grad() if kind == "retain" else register(name, kind)
    inputs, create = [tensors[name] for name in names], {"create_graph": how != "backward"}
    for _ in range(2):
        if how == "grad":
            wanted = inputs or [w, x]
            gradients = lib.autograd.grad(loss, wanted, allow_unused=True, **create)
        else:
            loss.backward(inputs=inputs or None, retain_graph=True, **create)
            gradients = [t.grad for t in leaves]
        log["gradients"].append(shown(gradients))
    retained = [name for name, kind in described if kind == "retain"]
    log["gradients"].append([shown(tensors[n].grad) for n in (*names, *retained, "w", "x")])
    total = sum((g**2).sum() for g in gradients if g is not None and g.requires_grad)
    if hasattr(total, "shape"):
        log["second"] = shown(lib.autograd.grad(total, [w, x], allow_unused=True))
    return log


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(
    st.lists(st.tuples(st.sampled_from(TENSORS), st.sampled_from(KINDS_OF_TENSORS)), max_size=6),
    st.lists(st.sampled_from((*TENSORS, "unused")), max_size=3),
    st.sampled_from(("backward", "create_graph", "grad")),
)
def test_hooks_of_tensors(described: Any, names: Any, how: str):
    """Registered on leaves and results, with inputs that are used, repeated, inner, or unused."""
    assert_same_logs(lambda lib: log_of_tensors(lib, described, names, how))
