"""Clipping and vectors of parameters, side by side with PyTorch's."""

import math
from typing import Any

import numpy as np
import pytest
from against_torch import agree, compare_programs
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_fc as tg

torch = pytest.importorskip("torch")

ORDERS = [2.0, 1.0, 3.0, 0.5, math.inf, -math.inf, 0.0, -1.0]
values = st.sampled_from([0.0, 1.0, -2.5, 7.0, 0.125, math.inf, math.nan])
shapes = hnp.array_shapes(min_dims=0, max_dims=2, max_side=3)


arrays = st.sampled_from([np.float64, np.float32]).flatmap(
    lambda dtype: hnp.arrays(dtype, shapes, elements=values)
)
gradients = st.lists(st.none() | arrays, max_size=3)


def parameters(library: Any, grads: Any) -> list[Any]:
    made = [library.nn.Parameter(library.tensor(np.zeros(2) if g is None else g)) for g in grads]
    for p, grad in zip(made, grads, strict=True):
        p.grad = None if grad is None else library.tensor(grad)
    return made


def assert_same(clip: Any, grads: Any) -> None:
    """Compare what `clip` returns or raises, and the gradients afterwards."""
    results = []
    for library in (tg, torch):
        params = parameters(library, grads)
        try:
            results.append((clip(library.nn.utils, params), [p.grad for p in params]))
        except RuntimeError as error:
            results.append(error)
    typed = any(grad is not None for grad in grads)
    agree(*results, 2e-6, exact=True, typed=typed)


@given(
    gradients,
    st.sampled_from([0.0, 0.5, 3.0, math.inf]),
    st.sampled_from(ORDERS),
    st.booleans(),
)
def test_clipping_by_norm(grads: Any, max_norm: float, order: float, strict: bool):
    options = {"error_if_nonfinite": strict}
    assert_same(lambda u, params: u.clip_grad_norm_(params, max_norm, order, **options), grads)


@given(gradients, st.sampled_from([0.0, 0.5, 3.0, math.inf]))
def test_clipping_by_value(grads: Any, limit: float):
    if any(grad is not None for grad in grads):  # PyTorch trips over none at all
        assert_same(lambda u, params: u.clip_grad_value_(params, limit), grads)


def test_vectors():
    def program(library: Any, vector: Any) -> Any:
        model, functions = library.nn.Linear(3, 2), library.nn.utils
        functions.vector_to_parameters(vector, model.parameters())
        vector[7] = 9.0
        back = functions.parameters_to_vector(model.parameters())
        return back, model.weight, back.requires_grad

    compare_programs(program, np.arange(8.0))


# Parametrizations and pruning: the same weights after the same steps


def reparametrized(library: Any, change: Any, weight: Any) -> Any:
    rows, columns = weight.shape
    layer = library.nn.Linear(columns, rows, dtype=library.float64)
    with library.no_grad():
        layer.weight.copy_(library.tensor(weight))
        layer.bias.copy_(library.linspace(-1, 2, rows, dtype=library.float64))
    change(library.nn.utils, layer)
    optimizer = library.optim.SGD(layer.parameters(), lr=0.1)
    x = library.linspace(-2, 1, 4 * columns, dtype=library.float64).reshape(4, columns)
    for _ in range(3):
        optimizer.zero_grad()
        (layer(x).sin() ** 2).mean().backward()
        optimizer.step()
    layer(x)  # PyTorch's hooks compute the weight in a call
    return {"weight": layer.weight, "bias": layer.bias, **layer.state_dict()}


SQUARE = np.array([[3.0, 1.0, 0.5], [-1.25, 2.0, 0.25], [0.75, 0.125, -1.5]])
ORTHOGONAL = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 3)))[0]
CHANGES: dict[str, Any] = {
    "weight_norm": lambda u, m: u.parametrizations.weight_norm(m),
    "weight_norm of columns": lambda u, m: u.parametrizations.weight_norm(m, "weight", 1),
    "weight_norm of all": lambda u, m: u.parametrizations.weight_norm(m, dim=None),
    "older weight_norm": lambda u, m: u.weight_norm(m),
    "removed weight_norm": lambda u, m: u.remove_weight_norm(u.weight_norm(m)),
    "matrix_exp": lambda u, m: u.parametrizations.orthogonal(m, orthogonal_map="matrix_exp"),
    "cayley": lambda u, m: u.parametrizations.orthogonal(m, orthogonal_map="cayley"),
    "householder": lambda u, m: u.parametrizations.orthogonal(m, orthogonal_map="householder"),
    "default": lambda u, m: u.parametrizations.orthogonal(m),
    "l1": lambda u, m: u.prune.l1_unstructured(m, "weight", 0.4),
    "l1 twice": lambda u, m: u.prune.l1_unstructured(
        u.prune.l1_unstructured(m, "weight", 3), "weight", 0.5
    ),
    "removed pruning": lambda u, m: u.prune.remove(u.prune.l1_unstructured(m, "bias", 1), "bias"),
    "spectral": lambda u, m: u.parametrizations.spectral_norm(m, n_power_iterations=300),
    "mask": lambda u, m: u.prune.custom_from_mask(m, "bias", m.bias > 0),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize("what", CHANGES)
def test_reparametrized_layers_train_alike(what: str) -> None:
    import torch.nn.utils.prune  # noqa: PLC0415

    for weight in (SQUARE, ORTHOGONAL, ORTHOGONAL.T):
        if weight is not SQUARE and what in ("matrix_exp", "cayley", "spectral"):
            continue
        ours, theirs = (reparametrized(lib, CHANGES[what], weight) for lib in (tg, torch))
        assert sorted(ours) == sorted(theirs)
        # PyTorch completes a matrix by random columns, and its vectors have any sign.
        free = ("_u", "_v") if weight is SQUARE else ("base", ".original")
        for name, value in theirs.items():
            if not name.endswith(free):
                np.testing.assert_allclose(ours[name].detach(), value.detach(), atol=1e-10)
