"""What is drawn for each activation, loss and layer: the table of `test_layers_parity`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from against_torch import SINCE_2_14
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray[Any, Any]


# What is drawn


@dataclass(frozen=True)
class Fixed:
    """An input that PyTorch has no gradient for, handed over under a `name` if it has one."""

    array: Array
    name: str = ""


# Where activations and losses have their kinks.
KINKS = (0.0, 0.5, -0.5, 1.0, -1.0, 2.0, 3.0, -3.0, 6.0)
SHAPES = ((3,), (2, 3), (), (1,), (4, 1), (0, 3), (2, 3, 4))
ROWS = ((2, 3), (1, 3), (5, 3))


@st.composite
def numbers(draw: st.DrawFn, shape: tuple[int, ...], kinks: bool) -> Array:
    """Draw numbers of all sizes, some of them `kinks`."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.normal(size=shape) * rng.choice((0.3, 1, 4))
    share = 0.2 if kinks else 0
    return np.asarray(np.where(rng.random(shape) < share, rng.choice(KINKS, shape), x))


def as_array(value: Any) -> Any:
    """Return a scalar of NumPy's, which its operators make of 0-d arrays, as the array it was."""
    return np.asarray(value) if isinstance(value, np.generic) else value


Inputs = Callable[[bool], st.SearchStrategy[list[Any]]]


def alike(*made: Callable[[Array], Any], of: Sequence[tuple[int, ...]] = SHAPES) -> Inputs:
    """Draw as many arrays of one shape as there are functions, which they go through."""

    @st.composite
    def inputs(draw: st.DrawFn, kinks: bool) -> list[Any]:
        shape = draw(st.sampled_from(of))
        return [as_array(f(draw(numbers(shape, kinks)))) for f in made]

    return inputs


def classified(*more: tuple[int, ...], ignored: float = 0.0) -> Inputs:
    """Draw scores of three classes, and indices of classes, a share of which are -100."""

    @st.composite
    def inputs(draw: st.DrawFn, kinks: bool) -> list[Any]:
        shape = draw(st.sampled_from([(4, 3), (1, 3), (3,), *more]))
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        indices = rng.integers(0, 3, shape[:1] + shape[2:] if len(shape) > 1 else ())
        left_out = rng.random(indices.shape) < ignored
        return [draw(numbers(shape, kinks)), np.where(left_out, -100, indices)]

    return inputs


def real(x: Array) -> Array:
    return x


def within(low: float, high: float) -> Callable[[Array], Array]:
    return lambda x: low + (high - low) / (1 + np.exp(-x))


def distribution(x: Array) -> Array:
    e = np.exp(x)
    return e / e.sum(axis=min(x.ndim - 1, 1), keepdims=True)


def sign(x: Array) -> Fixed:
    return Fixed(np.where(x > 0.1, 1.0, -1.0))


def label(x: Array) -> Fixed:
    return Fixed((x > 0).astype(float))


def weight(x: Array) -> Fixed:
    return Fixed(np.abs(x) + 0.1, "weight")


def row_numbers(x: Array) -> Array:
    return np.abs(x * 2).astype(int) % 5


inside = within(0.02, 0.98)
one, two = alike(real), alike(real, real)
rows = alike(real, of=ROWS)
CHANNELS = ((3, 4), (2, 4, 3))
channels = alike(real, of=CHANNELS)
matrices = alike(real, of=(*CHANNELS, (2, 4, 2, 2)))


# The table: a new name joins by a line


@dataclass(frozen=True)
class Line:
    """A function and a module, what they are called with, and the settings that both take.

    `second` tells whether PyTorch has second derivatives, `modes` are those of the module in which
    nothing is left to chance, and `tolerance` is larger where PyTorch rounds.
    """

    function: str | None
    module: str | None
    inputs: Inputs
    settings: dict[str, Sequence[Any]]
    second: bool
    modes: tuple[bool, ...]
    tolerance: float

    def __str__(self) -> str:
        return str(self.module or self.function)


def both(
    function: str | None,
    module: str | None,
    inputs: Inputs = one,
    *,
    second: bool = True,
    modes: tuple[bool, ...] = (True, False),
    tolerance: float = 1e-11,
    **settings: Any,
) -> Line:
    return Line(function, module, inputs, settings, second, modes, tolerance)


def loss(function: str, module: str | None, inputs: Inputs, **options: Any) -> Line:
    """Return a line for a loss, which has a reduction."""
    return both(function, module, inputs, **{"reduction": ("mean", "sum", "none"), **options})


def layer(module: str, inputs: Inputs = one, **options: Any) -> Line:
    return both(None, module, inputs, **options)


PER_CLASS = (None, np.array([0.5, 2.0, 0.25]))
EPS = (1e-5, 0.1)
EITHER = (False, True)
ALPHAS = (1.0, 0.5, 2)
FURTHER = ((4, 3, 2), (2, 3, 2, 2))
classes, ignoring = classified(*FURTHER), classified(*FURTHER, ignored=0.3)
shares = alike(real, distribution, of=((3,), (2, 3), (2, 3, 4)))
pairs, triples = alike(real, real, of=ROWS), alike(real, real, real, of=ROWS)
blocks = alike(real, of=((2, 3, 4), (5, 3, 4)))
labelled = alike(real, real, lambda y: sign(y[..., 0]), of=(*ROWS, (3,)))
STATISTICS = {"eps": EPS, "affine": EITHER, "track_running_stats": EITHER}
SMOOTHED = {"weight": PER_CLASS, "label_smoothing": (0.0, 0.1, 1)}

TABLE = [
    both("relu", "ReLU"),
    both("sigmoid", "Sigmoid"),
    both("tanh", "Tanh"),
    both("leaky_relu", "LeakyReLU", negative_slope=(0.01, 0.3, -0.5, 0), inplace=(False,)),
    both("gelu", "GELU", approximate=("none", "tanh")),
    both("silu", "SiLU"),
    both("elu", "ELU", alpha=ALPHAS),
    both("softmax", "Softmax", rows, dim=(0, 1, -1)),
    both("log_softmax", "LogSoftmax", rows, dim=(0, 1, -1)),
    # It gives up on digits above 20.
    both("softplus", "Softplus", beta=ALPHAS, threshold=(20.0, 1, 5.0), tolerance=3e-9),
    both("selu", "SELU"),
    both("celu", "CELU", alpha=ALPHAS),
    both("mish", "Mish"),
    both("relu6", "ReLU6"),
    both("hardtanh", "Hardtanh", min_val=(-1.0, 0, -3), max_val=(1.0, 6, 0.5)),
    both("hardswish", "Hardswish"),
    both("hardsigmoid", "Hardsigmoid", second=False, tolerance=1e-7),  # its 1/6 is a float32
    both("softsign", "Softsign"),
    both("hardshrink", "Hardshrink", lambd=(0.5, 1, 0)),
    both("softshrink", "Softshrink", lambd=(0.5, 1, 0)),
    both("tanhshrink", "Tanhshrink"),
    both("logsigmoid", "LogSigmoid"),
    both("softmin", "Softmin", rows, dim=(0, 1, -1)),
    both("threshold", "Threshold", threshold=(0.5, -1), value=(0.0, 7)),
    both("prelu", None, alike(real, lambda w: w[0], of=ROWS)),
    layer("PReLU", matrices, num_parameters=(1, 4), init=(0.25, -1)),
    both("glu", "GLU", alike(real, of=((3, 4), (2, 4, 2))), dim=(1, -1)),
    loss("mse_loss", "MSELoss", two),
    loss("l1_loss", "L1Loss", two),
    loss("smooth_l1_loss", "SmoothL1Loss", two, beta=(1.0, 0.5, 0, 3)),
    loss("huber_loss", "HuberLoss", two, delta=(1.0, 0.5, 3)),
    loss("mse_loss", None, alike(real, real, weight)),
    loss("l1_loss", None, alike(real, real, weight)),
    loss("huber_loss", None, alike(real, real, weight)),
    loss("cross_entropy", "CrossEntropyLoss", ignoring, weight=PER_CLASS),
    loss("nll_loss", "NLLLoss", ignoring, weight=PER_CLASS),
    loss("cross_entropy", "CrossEntropyLoss", classes, ignore_index=(-100, 1), **SMOOTHED),
    loss("cross_entropy", "CrossEntropyLoss", shares, **SMOOTHED),
    loss("nll_loss", "NLLLoss", classes, weight=PER_CLASS, ignore_index=(-100, 1)),
    # Its second derivative has an epsilon.
    loss("binary_cross_entropy", "BCELoss", alike(inside, within(0, 1)), tolerance=1e-7),
    loss("binary_cross_entropy", None, alike(inside, within(0, 1), weight)),
    loss(
        "binary_cross_entropy_with_logits",
        "BCEWithLogitsLoss",
        alike(real, within(0, 1), of=ROWS),
        weight=(None, np.array([[0.5], [2.0]])[:1], np.array([0.5, 2.0, 1.0])),
        pos_weight=(None, np.array([3.0, 0.5, 1.0])),
    ),
    loss("kl_div", "KLDivLoss", alike(real, within(0, 2), of=ROWS), log_target=EITHER),
    both("kl_div", "KLDivLoss", alike(real, within(0, 2)), reduction=("batchmean",)),
    loss(
        "poisson_nll_loss",
        "PoissonNLLLoss",
        alike(within(0.1, 3), within(0, 4)),
        log_input=EITHER,
        full=EITHER,
        eps=(1e-8, 0.1),
    ),
    loss(
        "gaussian_nll_loss",
        "GaussianNLLLoss",
        alike(real, real, within(0, 2)),
        full=EITHER,
        eps=(1e-6, 0.5),
    ),
    loss("gaussian_nll_loss", None, alike(real, real, lambda v: np.abs(v[..., :1]), of=ROWS)),
    loss("gaussian_nll_loss", None, alike(real, real, lambda v: np.abs(v[..., 0]), of=ROWS)),
    loss("hinge_embedding_loss", "HingeEmbeddingLoss", alike(real, sign), margin=(1.0, 0.5)),
    loss(
        "margin_ranking_loss",
        "MarginRankingLoss",
        alike(real, real, sign, of=((4,), (1,))),
        margin=(0.0, 0.7) if SINCE_2_14 else (0.7,),  # equal inputs are drawn: a kink at 0
    ),
    loss("soft_margin_loss", "SoftMarginLoss", alike(real, sign)),
    loss(
        "multilabel_soft_margin_loss",
        "MultiLabelSoftMarginLoss",
        alike(real, label, of=ROWS),
        weight=PER_CLASS,
    ),
    loss("cosine_embedding_loss", "CosineEmbeddingLoss", labelled, margin=(0.0, 0.3)),
    loss(
        "multi_margin_loss",
        "MultiMarginLoss",
        classified(),
        second=False,
        p=(1, 2),
        margin=(1.0, 0.7),
        weight=PER_CLASS,
    ),
    loss(
        "triplet_margin_loss",
        "TripletMarginLoss",
        triples,
        margin=(1.0, 5.0),
        p=(2.0, 1, 3.0),
        swap=EITHER,
    ),
    both("cosine_similarity", "CosineSimilarity", pairs, dim=(1, 0)),
    both(
        "pairwise_distance",
        "PairwiseDistance",
        pairs,
        p=(2.0, 1, 3.0, np.inf),
        eps=(1e-6, 0.1),
        keepdim=EITHER,
    ),
    # Second derivatives of lengths near 0 amplify rounding.
    both("normalize", None, rows, p=(2.0, 1, 3.0), dim=(1, 0), tolerance=1e-7),
    layer("BatchNorm1d", channels, num_features=(4,), momentum=(0.1, None, 1), **STATISTICS),
    layer("InstanceNorm1d", alike(real, of=((4, 3), (2, 4, 3))), num_features=(4,), **STATISTICS),
    layer("LayerNorm", blocks, normalized_shape=(4, [3, 4], (3, 4)), eps=EPS, bias=EITHER),
    layer(
        "RMSNorm", blocks, normalized_shape=(4, (3, 4)), eps=(None, 0.1), elementwise_affine=EITHER
    ),
    layer("GroupNorm", matrices, num_groups=(1, 2), num_channels=(4,), affine=EITHER, eps=EPS),
    layer("Dropout", p=(0.5, 0.2), inplace=EITHER, modes=(False,)),
    layer("AlphaDropout", p=(0.5, 0.2), modes=(False,)),
    layer("Dropout", p=(0, 1)),
    layer("AlphaDropout", p=(0, 1)),
    layer(
        "Embedding",
        alike(row_numbers),
        num_embeddings=(5,),
        embedding_dim=(3,),
        padding_idx=(None, 0, -2),
        max_norm=(None, 0.7),
        norm_type=(2.0, 1.0),
    ),
    layer("Flatten", alike(real, of=((2, 3, 4),)), start_dim=(1, 0), end_dim=(-1, 1)),
    layer(
        "Unflatten",
        alike(real, of=((2, 6),)),
        dim=(1, -1),
        unflattened_size=((2, 3), (-1, 2), [3, 2]),
    ),
    layer(
        "Bilinear",
        alike(real, lambda x: x[..., :2], of=(*ROWS, (2, 4, 3))),
        in1_features=(3,),
        in2_features=(2,),
        out_features=(4,),
        bias=EITHER,
    ),
]
