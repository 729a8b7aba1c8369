"""Functions, methods and layers against PyTorch's: each line of the tables."""

import re
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import core_table  # noqa: F401  each adds its lines
import extended_table  # noqa: F401
import layers_table  # noqa: F401
import numpy as np
import pytest
from against_torch import (
    LINES,
    compare,
    compare_aliases,
    compare_dtypes,
    compare_mixed_floats,
    compare_nan,
    compare_refusals,
    compare_special_values,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.compat import unsupported
from tinygrad_fc.ops import arithmetic, elementwise, trigonometry

torch = pytest.importorskip("torch")

F = tg.nn.functional

pytestmark = pytest.mark.filterwarnings("ignore")  # what either warns of, PyTorch does not
FUNCTIONS = [n for n in sorted(LINES) if not re.match(r"nn\.(?!functional.linear)", n)]


@pytest.mark.parametrize("name", sorted(LINES))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@given(st.data(), st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_values_gradients_and_their_gradients(name: str, dtype: Any, data: Any, seed: int):
    # Losses of nothing, and the logarithm of 0, say nothing in PyTorch.
    with np.errstate(all="ignore") if name.startswith("nn.") else nullcontext():
        compare(LINES[name], data, seed, dtype)


@pytest.mark.parametrize("name", sorted({*FUNCTIONS} - {"einsum ii->i"}))  # ours is a copy
@given(st.data(), st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_views_and_copies(name: str, data: Any, seed: int):
    compare_aliases(LINES[name], data, seed)


def law(names: Iterable[str], **drawn: Any) -> Any:
    """Return a decorator of a test that is run for each name with drawn arguments and a seed.

    The examples are the same each time: a rare one at which PyTorch has a convention of its own is
    no error.
    """
    arguments = given(data=st.data(), seed=st.integers(0, 2**32 - 1), **drawn)
    repeated = settings(max_examples=10, derandomize=True, database=None)
    named = pytest.mark.parametrize("name", names)
    return lambda test: named(repeated(arguments(test)))


# PyTorch has fewer digits, or computes with booleans where NumPy's functions do not.
OWN_DTYPES = "addcdiv|addmm|gamma|einsum i[ij]|hardtanh|relu6|threshold|median|_loss|entropy|kl_div"
OWN_DTYPES += r"|kthvalue(?!\(values)|solve_triangular"  # any of equal elements; the matrix decides
# Either refuses dtypes or integers that the other accepts; tests of messages refuse ours.
LENIENT = r"add[mc]|index_add|pow|\*\*|einsum|histogram|cross|meshgrid|cosine|prelu|norm\(dtype|"
LENIENT += r"lerp|round\(dec|value|attention|solve_triangular"
# Where values are not finite, the order of operations decides.
FINITE = r"\bqr|matrix_power|matrix_exp|bucketize|kthvalue(?!\(values)|"
FINITE += "linalg|inverse|det|svd|norm|sign$|gamma|log_softmax|einsum|median|searchsorted|var_mean|"
FINITE += "tensordot|unique|_loss|entropy|kl_div|attention"
VALUES = [n for n in sorted(LINES) if not re.match("nn.[A-Z]", n)]


@law(
    [n for n in VALUES if not re.search(OWN_DTYPES, n)],
    default=st.sampled_from(["float32", "float64"]),
)
def test_dtypes(name: str, data: Any, seed: int, default: str):
    tg.set_default_dtype(default)
    torch.set_default_dtype(getattr(torch, default))
    with np.errstate(all="ignore"):
        compare_dtypes(LINES[name], data, seed, lenient=bool(re.search(LENIENT, name)))


# PyTorch casts to the dtype of the input, or of the matrix, or ours keep a grid of two dtypes, or
# drop beta = 0.
OWN_FLOATS = (
    r"binary_cross_entropy\(weights|huber_loss|soft_margin_loss|with_logits|solve_triangular"
)


@law([n for n in VALUES if not re.search("addmm|meshgrid", n)])
def test_two_float_dtypes_promote(name: str, data: Any, seed: int):
    with np.errstate(all="ignore"):
        always = bool(re.search(OWN_FLOATS, name))
        compare_mixed_floats(LINES[name], data, seed, always=always)


@law([n for n in VALUES if not re.search(FINITE, n)])
def test_infinities_nan_and_zeros(name: str, data: Any, seed: int):
    with np.errstate(all="ignore"):
        compare_special_values(LINES[name], data, seed)


# A run that diverged must not look stationary, by gradients that are 0. PyTorch's own vectorised
# code has another gradient for hardtanh at NaN than its scalar code. For cumprod over an axis of
# size 1 it is 1.
NAN = {
    "": "add sub mul div pow exp log sqrt sin tanh sigmoid relu square where maximum minimum "
    "max min amax amin median median(dim) sum mean std var logit softmax log_softmax logsumexp "
    "hypot atan2 cumsum norm(fro) prod remainder fmod det lerp lgamma",
    "nn.functional.": "leaky_relu softshrink softplus silu gelu mish cross_entropy nll_loss "
    "binary_cross_entropy_with_logits softmax normalize",
    "nn.": "LayerNorm RMSNorm GroupNorm",
}


@law([path + name for path in NAN for name in NAN[path].split()])
def test_gradients_at_nan(name: str, data: Any, seed: int):
    with np.errstate(all="ignore"):
        compare_nan(LINES[name], data, seed)


# Where PyTorch refuses elements that are not there, or shapes that broadcast; or factors another
# matrix than a definite one.
LENIENT_SHAPES = r"addmm|bincount|cholesky|cross|flip|indexing\(list|linear|lstsq|meshgrid|movedim|"
LENIENT_SHAPES += r"norm|repeat_interleave|softmax|solve|squeeze\(dims|unique"


@law([n for n in FUNCTIONS if not re.search(LENIENT_SHAPES, n)])
def test_other_shapes_and_dims_are_refused(name: str, data: Any, seed: int):
    with np.errstate(all="ignore"):
        compare_refusals(LINES[name], data, seed)


def test_table_has_every_name_of_pytorch():
    known = {name.partition("(")[0].rpartition(".")[2] for name in LINES if name.startswith("nn.")}
    known -= {"linear"}
    names = {n for n in dir(F) if callable(getattr(F, n)) and hasattr(torch.nn.functional, n)}
    elementwise_names = {*arithmetic.__all__, *elementwise.__all__, *trigonometry.__all__}
    refused = {path.rpartition(".")[2] for path in unsupported.REFUSED}
    names -= (elementwise_names - known) | refused
    by_module = {n for n in names if n.endswith("_norm")} | {"embedding", "bilinear", "linear"}
    random = {"dropout", "alpha_dropout", "gumbel_softmax"}
    assert names - known == by_module | random | {"one_hot", "pad"}
    kinds = {n: getattr(tg.nn, n) for n in dir(tg.nn) if isinstance(getattr(tg.nn, n), type)}
    layers = {n for n in kinds if issubclass(kinds[n], tg.nn.Module) and hasattr(torch.nn, n)}
    layers -= refused
    holders = {"Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"}
    assert layers - known == holders | {"DataParallel", "Identity", "Linear"}
    assert known <= set(dir(torch.nn)) | set(dir(torch.nn.functional))
