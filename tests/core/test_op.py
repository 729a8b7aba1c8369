"""Properties of ops: values that rules read, documentation, errors."""

import copy
import functools
import inspect
import pickle
import pydoc
import re
import warnings
import weakref
from typing import Any

import numpy as np
import pytest
from drawing import OPS, calls, cotangent, seeds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.core.errors import GraphError
from tinygrad_fc.core.node import NO_GRADIENT
from tinygrad_fc.core.op import NUMPY_NAMES, Op, VariadicRule
from tinygrad_fc.domain import real
from tinygrad_fc.testing import check, inputs
from tinygrad_fc.testing.tensors import differentiable

RULES = [
    pytest.param(op, i, id=f"{op.name}-{i}")
    for op in OPS
    if type(op) is Op  # a chain has the rules of its two ops
    for i in differentiable(op)
]


def corrupted(array: Any) -> Any:
    """Return another array of the same shape and dtype."""
    if array.dtype.kind == "f":
        return np.full_like(array, np.nan)
    return ~array if array.dtype.kind == "b" else (array + 1) % (array.max(initial=0) + 1)


@pytest.mark.parametrize(("op", "i"), RULES)
def test_a_rule_reads_what_its_signature_says(op: Op, i: int) -> None:
    declared: set[int] = set()  # positions of the values that the signature says are read
    effective: set[int] = set()  # those whose corruption has changed the gradient

    @np.errstate(all="ignore")
    def check_call(call: Any, seed: int) -> None:
        operands, chosen = call
        values = (np.asarray(op.forward(*operands, **chosen)), *operands)
        g = cotangent(values[0].shape, seed, values[0].dtype)

        def gradient(k: int | None) -> Any:
            """Return the gradient with value `k` corrupted."""
            arrays = [corrupted(v) if j == k else v for j, v in enumerate(values)]
            return np.asarray(op.rules[i](g, *arrays, **chosen))

        expected = gradient(None)
        read = {id(array) for _, array in op.values_read_by(i, values[0], operands)}
        for k, array in enumerate(values):
            try:
                same = np.array_equal(gradient(k), expected, equal_nan=True)
            except (ValueError, IndexError):
                same = False
            if id(array) in read:
                declared.add(k)
                effective.update(() if same else (k,))
            else:
                assert same

    def complete() -> bool:
        if isinstance(op.rules, VariadicRule) and declared - {0}:  # `*xs` reads some of them
            return bool(effective & declared - {0})
        return declared == effective

    # More examples only for values that had no effect so far.
    filtered = [HealthCheck.filter_too_much]  # domains such as positive definite matrices
    for size, factor in ((0, 1), (2, 4), (3, 8)):
        law = given(calls(op, size), seeds)(check_call)
        examples = factor * settings.default.max_examples // 4
        limits = settings(max_examples=examples, suppress_health_check=filtered)
        settings(limits, derandomize=True, database=None)(law)()
        if complete():
            return
    assert complete()


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_a_rule_returns_a_new_array_or_its_cotangent_or_a_view_of_it(op: Op) -> None:
    # The backward pass relies on this: it changes new arrays in place, and stores them as `.grad`.
    @np.errstate(all="ignore")
    def check_call(call: Any, seed: int) -> None:
        operands, chosen = call
        out = np.asarray(op.forward(*operands, **chosen))
        g = cotangent(out.shape, seed, out.dtype)
        others = [out, *operands]
        for i in (*differentiable(op), *differentiable(op)):  # no array is returned twice
            gradient = op.rules[i](g, out, *operands, **chosen)  # type: ignore[index]
            if gradient is NO_GRADIENT or isinstance(gradient, np.generic):
                continue
            assert not any(np.may_share_memory(gradient, a) for a in others)
            if not np.may_share_memory(gradient, g):
                assert gradient.flags.writeable or gradient.base is not None
                others.append(gradient)
            else:
                assert gradient is g or gradient.base is not None or not gradient.size

    some(given(calls(op), seeds)(check_call))()


def some(test: Any) -> Any:
    """Return a test with fewer examples, whose conditions may be met seldom."""
    filtered = [HealthCheck.filter_too_much, HealthCheck.too_slow]
    limits = settings(max_examples=settings.default.max_examples // 4)
    return settings(limits, suppress_health_check=filtered)(test)


NUMPYS = {ours: numpys for numpys, ours in NUMPY_NAMES.items()}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_an_op_gives_what_its_numpy_function_gives(op: Op, dtype: Any) -> None:
    try:
        known = [*inspect.signature(op.function).parameters]
    except ValueError:
        known = []

    def check_call(call: Any) -> None:
        operands, chosen = call
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            out: Any = op(*map(tg.tensor, operands), **chosen)
            plain = np.asarray(op(*(a.copy() for a in operands), **chosen))
            np.testing.assert_allclose(out.numpy(), plain, rtol, 1e-30)
            assert out.numpy().dtype == plain.dtype
            if plain.dtype.kind == "f" and "dtype" not in chosen:
                assert plain.dtype == dtype
            named = {NUMPYS.get(name, name): value for name, value in chosen.items()}
            if op.function is np.argsort:
                named["stable"] = True  # by default NumPy may mix equal elements
            if op.function is op.forward or "arrays" in known or not {*named} <= {*known}:
                return
            expected = np.asarray(op.function(*operands, **named))
        assert plain.dtype == expected.dtype
        np.testing.assert_allclose(plain, expected, rtol, 1e-30)

    rtol = 500 * np.finfo(dtype).eps
    some(given(calls(op, kinds=slice(1), dtype=dtype))(check_call))()


@pytest.mark.parametrize("op", [*filter(differentiable, OPS)], ids=lambda op: op.name)
def test_a_cotangent_of_zero_gives_zero_in_every_order_and_outside_of_the_domain(op: Op) -> None:
    def check_call(call: Any) -> None:
        operands, chosen = call
        arguments = [tg.tensor(a) if a.dtype.kind == "f" else a for a in operands]
        leaves = [arguments[i].requires_grad_() for i in differentiable(op)]
        with np.errstate(all="ignore"):
            out: Any = op(*arguments, **chosen)
            first = tg.autograd.grad(out, leaves, tg.zeros_like(out), create_graph=True)
            second = sum((t * cotangent(t.shape, 0, t.dtype)).sum() for t in first)
            of_second = second.requires_grad and tg.autograd.grad(second, leaves, allow_unused=True)
        for t in (*first, *(of_second or ())):
            assert t is None or not t.numpy().any()

    some(given(calls(op, kinds=slice(1, 2)))(check_call))()


def after_change(rule: Any) -> tg.Tensor:
    """Return the sum of an op with this rule, whose argument was changed in place afterwards."""
    double = tg.op(lambda x: x * x, name="double", domain=(real,), rules=(rule,))
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    out = double(x)
    with tg.no_grad():
        x.add_(1.0)
    return out.sum()


class RuleObject:
    """A rule that is a callable object."""

    def __call__(self, *args: Any) -> Any:
        return args[0]


@pytest.mark.usefixtures("_registry_restored")
@pytest.mark.parametrize("wrapped", ["object", "function", "rule of an op"])
def test_a_wrapper_and_a_callable_object_read_everything(wrapped: str) -> None:
    def plain(g: Any, _out: Any, _x: Any) -> Any:
        return g

    op = tg.op(lambda x: 1 * x, name="same", domain=(real,), rules=(plain,))
    inner: Any = plain if wrapped == "function" else next(iter(op.rules or ()))

    @functools.wraps(inner)
    def wrapper(*args: Any) -> Any:
        return inner(*args)

    rule = RuleObject() if wrapped == "object" else wrapper
    with pytest.raises(GraphError, match="double needs its argument 0"):
        after_change(rule).backward()


@pytest.mark.usefixtures("_registry_restored")
def test_a_parameter_with_an_underscore_may_change() -> None:
    after_change(lambda g, _out, _x: g * 3).backward()
    with pytest.raises(GraphError, match=r"double needs its argument 0 \(x\)"):
        after_change(lambda g, _out, x: g * 2 * x).backward()


# Documentation


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_help_shows_signature_formula_domain_and_example(op: Op) -> None:
    signature = str(inspect.signature(op))
    text = re.sub("\b.", "", pydoc.render_doc(op, renderer=pydoc.plaintext))
    # The text has several lines, and since Python 3.14 annotations without quotes.
    assert re.sub(r"[\s']", "", signature) in re.sub(r"[\s']|,(?=\s*\))", "", text)
    assert ">>>" in text  # executed as a doctest
    assert op.__doc__
    assert len(op.__doc__.splitlines()[0]) > len("Return x.")
    several = isinstance(op.rules, VariadicRule)
    first = "arrays" if several else next(iter(inspect.signature(op).parameters))
    assert f"Domain: {first}" in text
    assert all(repr(d) in text for d in op.domain[: 1 if several else None])
    assert set(op.settings) <= set(inspect.signature(op).parameters)


PUBLIC = sorted(
    {op for op in vars(tg).values() if isinstance(op, Op)} - {tg.matmul}, key=lambda op: op.name
)


@pytest.mark.parametrize("op", [*PUBLIC, tg.matmul], ids=lambda op: op.name)
def test_an_op_is_pickled_by_name_and_copied_as_another_op(op: Op) -> None:
    assert pickle.loads(pickle.dumps(op)) is op
    assert copy.deepcopy(op) is op
    other = copy.copy(op)
    assert (other is op, other.rules, other.__doc__) == (False, op.rules, op.__doc__)
    other.rules = None
    assert op.rules is not None or op.rules == other.rules
    method = getattr(tg.ones(2), next((n for n, v in vars(tg).items() if v is op), op.name))
    rest = list(inspect.signature(op).parameters)[1:]
    assert list(inspect.signature(method).parameters) == rest


@pytest.mark.parametrize("op", PUBLIC, ids=lambda op: op.name)
@given(st.data())
def test_arrays_give_arrays_and_lists_and_numbers_tensors(op: Op, data: st.DataObject) -> None:
    drawn = data.draw(inputs(*(d("n>=1") for d in op.domain)))
    operands = drawn if isinstance(drawn, tuple) else (drawn,)
    settings_ = {"dim": 0} if op in (tg.softmax, tg.log_softmax, tg.cumsum, tg.cumprod) else {}
    with np.errstate(all="ignore"):
        out = op(*operands, **settings_)
        assert type(out) in (np.ndarray, *np.ScalarType)
        tensors = op(*(a.tolist() for a in operands), **settings_)
        mixed = op(tg.tensor(operands[0]), *operands[1:], **settings_)
    assert type(tensors) is type(mixed) is tg.Tensor
    for t in (tensors, mixed):
        np.testing.assert_array_equal(t.numpy(), out)
    tg.set_default_dtype(tg.float32)
    with np.errstate(all="ignore"):
        dtype = op(*(a.tolist() for a in operands), **settings_).dtype
    tg.set_default_dtype(tg.float64)
    assert dtype != np.float64


def test_settings_by_position_by_name_and_under_numpys_name() -> None:
    x, out = tg.tensor([[1.0, 2.0], [3.0, 5.0]]), tg.zeros(2)
    calls = (x.sum(0), x.sum(dim=0), tg.sum(input=x, dim=[0]), x.sum(axis=0), tg.sum(x, 0, out=out))
    assert all(t.tolist() == [4, 7] for t in (*calls, out))
    assert x.sum(dim=()).item() == x.sum(()).item() == 11  # PyTorch's
    assert x.sum(axis=()).tolist() == np.sum(x, axis=()).tolist() == x.tolist()  # NumPy's
    assert x.sum(0, keepdims=True).shape == x.sum(axis=[0], keepdim=True).shape == (1, 2)
    assert x.max(axis=0).values.tolist() == [3, 5]
    variances = x.var(unbiased=False), tg.var(x, *[False]), x.var(correction=0), np.var(x)
    assert len({t.item() for t in variances}) == 1
    w = x.clone().requires_grad_()
    assert not w.sum(dtype=int).requires_grad
    w.sum(dtype=tg.float32).backward()
    assert w.grad.dtype == tg.float64
    for wrong in (
        lambda: x.sum(0, dim=1),
        lambda: x.sum(dim=0, axis=1),
        lambda: x.sum(0, *[False, None]),
        lambda: x.sum(dims=0),
        lambda: x.exp(axis=0),
        lambda: tg.add(x),
        lambda: x.var(0, unbiased=True, correction=1),
    ):
        with pytest.raises(TypeError):
            wrong()


def softclip(x: Any, *, width: float = 1.0) -> Any:
    return width * np.tanh(x / width)


@pytest.mark.parametrize("count", [1, 3])
def test_a_function_that_takes_another_number_of_arrays_is_refused(count: int):
    domain, rules = (real,) * count, (None,) * count
    with pytest.raises(TypeError, match=f"times takes 2 arrays, and has {count} domains"):
        tg.op(lambda x, y: x * y, name="times", domain=domain, rules=rules)
    if count == 1:
        options = {"domain": domain, "rules": rules}
        scaled = tg.op(lambda x, n: x * n, settings={"n": (1, 2)}, **options)
        assert scaled(tg.ones(2), n=3).sum() == 6
        assert tg.op(lambda *xs: xs[0], **options)(tg.ones(2)).sum() == 2


def test_a_setting_that_requires_grad_is_refused_and_others_are_arrays():
    scaled = tg.op(lambda x, a=2.0: x * a, domain=(real,), rules=(lambda g, _out, _x, a: g * a,))
    x, a = tg.ones(2, requires_grad=True), tg.tensor(3.0, requires_grad=True)
    scaled(x, a.detach()).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    for call in (lambda: scaled(x, a), lambda: scaled(x, a=a), lambda: tg.add(x, x, alpha=a)):
        with pytest.raises(GraphError, match="settings have no gradient"):
            call()


@pytest.mark.usefixtures("_registry_restored")
@pytest.mark.parametrize("settings", [{}, {"width": 0.5}])
def test_a_rule_gets_the_settings_that_a_call_leaves_out(settings: dict[str, float]) -> None:
    def rule(g: Any, out: Any, _x: Any, width: float = 2.0) -> Any:  # its own default is not used
        return g * (1 - (out / width) ** 2)

    clipped = tg.op(softclip, name="clip", domain=(real,), settings={"width": [0.5]}, rules=(rule,))
    x = np.random.default_rng(0).normal(size=5)
    t = tg.tensor(x, requires_grad=True)
    clipped(t, **settings).backward(tg.ones(5))
    slopes = softclip(x + 1e-20j, **settings).imag / 1e-20
    np.testing.assert_allclose(t.grad, slopes, atol=1e-15)


@pytest.mark.usefixtures("_registry_restored")
@pytest.mark.parametrize("values", [(1, 3), lambda x: (1, 2 + x.ndim // 9)])
def test_valid_values_of_a_setting_are_listed_or_computed(values: Any) -> None:
    power = tg.op(
        lambda x, *, n: x**n,
        domain=(real,),
        rules=(lambda g, _out, x, *, n: g * n * x ** (n - 1),),
        settings={"n": values},
    )
    check(power)
    assert power.settings["n"](np.ones(2)) in {(1, 2), (1, 3)}


# Errors and memory


@pytest.mark.usefixtures("_registry_restored")
def test_a_forward_that_changes_the_result_of_its_last_call_is_noticed() -> None:
    buffer = tg.zeros(2)

    def forward(x: Any) -> Any:
        return buffer.copy_(np.exp(x)).numpy()

    op = tg.op(forward, name="exponential", domain=(real,), rules=(lambda g, out, _x: g * out,))
    x = tg.zeros(2, requires_grad=True)
    first = op(x)
    op(x + 1)
    with pytest.raises(GraphError, match="exponential needs its result"):
        first.sum().backward()


@pytest.mark.usefixtures("_by_reference_count")
def test_a_caught_exception_keeps_no_tensor_alive() -> None:
    calls: list[Any] = [
        lambda x: x + np.ones(5),
        lambda x: x @ np.ones((5, 5)),
        lambda x: tg.cat([x, tg.ones(2, 2)]),
        lambda x: x.sum(7),
        lambda x: x.tril("a"),
        lambda x: tg.exp(x, x),
        lambda x: x.add_(tg.ones(5)),
        lambda x: x.backward(),
        lambda x: tg.kron(x, "a"),
        lambda x: x.clamp(),
        lambda x: x.topk("a"),
        lambda x: tg.quantile(x, 3.0),
        tg.nn.Linear(4, 5),
        tg.nn.Sequential(tg.nn.Linear(3, 5), tg.nn.Sigmoid(), tg.nn.Linear(8, 3)),
        lambda x: tg.nn.Sequential(tg.nn.BatchNorm1d(3))(x[None]),
        tg.nn.Sequential(tg.nn.Tanh(), tg.nn.Softmax(5)),
    ]
    for k, call in enumerate(calls):
        x = tg.ones(3)
        alive = weakref.ref(x)
        raised = False
        try:
            call(x)
        except (TypeError, ValueError, RuntimeError):
            raised = True
        assert raised, k
        del x
        assert alive() is None, k
