"""What is drawn for each activation, loss and layer: the table of `test_layers_parity`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
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
    inputs: Inputs = field(default=one)
    settings: dict[str, Sequence[Any]] = field(default_factory=dict)
    second: bool = True
    modes: tuple[bool, ...] = (True, False)
    tolerance: float = 1e-11

    def __str__(self) -> str:
        return str(self.module or self.function)


def loss(
    function: str, module: str | None, inputs: Any, second: bool = True, **options: Any
) -> Line:
    """Return a line for a loss, which has a reduction."""
    return Line(function, module, inputs, {"reduction": ("mean", "sum", "none"), **options}, second)


PER_CLASS = (None, np.array([0.5, 2.0, 0.25]))
EPS = (1e-5, 0.1)
EITHER = (False, True)
SLOPES = (0.01, 0.3, -0.5, 0)
ALPHAS = (1.0, 0.5, 2)
FURTHER = ((4, 3, 2), (2, 3, 2, 2))
classes, ignoring = classified(*FURTHER), classified(*FURTHER, ignored=0.3)
TRIPLES = alike(real, real, real, of=ROWS)

TABLE = [
    Line("relu", "ReLU"),
    Line("sigmoid", "Sigmoid"),
    Line("tanh", "Tanh"),
    Line("leaky_relu", "LeakyReLU", settings={"negative_slope": SLOPES, "inplace": (False,)}),
    Line("gelu", "GELU", settings={"approximate": ("none", "tanh")}),
    Line("silu", "SiLU"),
    Line("elu", "ELU", settings={"alpha": ALPHAS}),
    Line("softmax", "Softmax", rows, {"dim": (0, 1, -1)}),
    Line("log_softmax", "LogSoftmax", rows, {"dim": (0, 1, -1)}),
    Line(
        "softplus",
        "Softplus",
        settings={"beta": ALPHAS, "threshold": (20.0, 1, 5.0)},
        tolerance=3e-9,  # it gives up on digits above 20
    ),
    Line("selu", "SELU"),
    Line("celu", "CELU", settings={"alpha": ALPHAS}),
    Line("mish", "Mish"),
    Line("relu6", "ReLU6"),
    Line("hardtanh", "Hardtanh", settings={"min_val": (-1.0, 0, -3), "max_val": (1.0, 6, 0.5)}),
    Line("hardswish", "Hardswish"),
    Line("hardsigmoid", "Hardsigmoid", second=False, tolerance=1e-7),  # its 1/6 is a float32
    Line("softsign", "Softsign"),
    Line("hardshrink", "Hardshrink", settings={"lambd": (0.5, 1, 0)}),
    Line("softshrink", "Softshrink", settings={"lambd": (0.5, 1, 0)}),
    Line("tanhshrink", "Tanhshrink"),
    Line("logsigmoid", "LogSigmoid"),
    Line("softmin", "Softmin", rows, {"dim": (0, 1, -1)}),
    Line("threshold", "Threshold", settings={"threshold": (0.5, -1), "value": (0.0, 7)}),
    Line("prelu", None, alike(real, lambda w: w[0], of=ROWS)),
    Line(None, "PReLU", matrices, {"num_parameters": (1, 4), "init": (0.25, -1)}),
    Line("glu", "GLU", alike(real, of=((3, 4), (2, 4, 2))), {"dim": (1, -1)}),
    loss("mse_loss", "MSELoss", two),
    loss("l1_loss", "L1Loss", two),
    loss("smooth_l1_loss", "SmoothL1Loss", two, beta=(1.0, 0.5, 0, 3)),
    loss("huber_loss", "HuberLoss", two, delta=(1.0, 0.5, 3)),
    loss("mse_loss", None, alike(real, real, weight)),
    loss("l1_loss", None, alike(real, real, weight)),
    loss("huber_loss", None, alike(real, real, weight)),
    loss("cross_entropy", "CrossEntropyLoss", ignoring, weight=PER_CLASS),
    loss("nll_loss", "NLLLoss", ignoring, weight=PER_CLASS),
    loss(
        "cross_entropy",
        "CrossEntropyLoss",
        classes,
        weight=PER_CLASS,
        ignore_index=(-100, 1),
        label_smoothing=(0.0, 0.1, 1),
    ),
    loss(
        "cross_entropy",
        "CrossEntropyLoss",
        alike(real, distribution, of=((3,), (2, 3), (2, 3, 4))),
        weight=PER_CLASS,
        label_smoothing=(0.0, 0.1, 1),
    ),
    loss("nll_loss", "NLLLoss", classes, weight=PER_CLASS, ignore_index=(-100, 1)),
    Line(
        "binary_cross_entropy",
        "BCELoss",
        alike(within(0.02, 0.98), within(0, 1)),
        {"reduction": ("mean", "sum", "none")},
        tolerance=1e-7,  # its second derivative has an epsilon
    ),
    loss("binary_cross_entropy", None, alike(within(0.02, 0.98), within(0, 1), weight)),
    loss(
        "binary_cross_entropy_with_logits",
        "BCEWithLogitsLoss",
        alike(real, within(0, 1), of=ROWS),
        weight=(None, np.array([[0.5], [2.0]])[:1], np.array([0.5, 2.0, 1.0])),
        pos_weight=(None, np.array([3.0, 0.5, 1.0])),
    ),
    loss("kl_div", "KLDivLoss", alike(real, within(0, 2), of=ROWS), log_target=EITHER),
    Line("kl_div", "KLDivLoss", alike(real, within(0, 2)), {"reduction": ("batchmean",)}),
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
    loss(
        "cosine_embedding_loss",
        "CosineEmbeddingLoss",
        alike(real, real, lambda y: sign(y[..., 0]), of=(*ROWS, (3,))),
        margin=(0.0, 0.3),
    ),
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
        TRIPLES,
        margin=(1.0, 5.0),
        p=(2.0, 1, 3.0),
        swap=EITHER,
    ),
    Line("cosine_similarity", "CosineSimilarity", alike(real, real, of=ROWS), {"dim": (1, 0)}),
    Line(
        "pairwise_distance",
        "PairwiseDistance",
        alike(real, real, of=ROWS),
        {"p": (2.0, 1, 3.0, np.inf), "eps": (1e-6, 0.1), "keepdim": EITHER},
    ),
    Line(
        "normalize",
        None,
        rows,
        {"p": (2.0, 1, 3.0), "dim": (1, 0)},
        tolerance=1e-7,  # second derivatives of lengths near 0 amplify rounding
    ),
    Line(
        None,
        "BatchNorm1d",
        channels,
        {
            "num_features": (4,),
            "eps": EPS,
            "momentum": (0.1, None, 1),
            "affine": EITHER,
            "track_running_stats": EITHER,
        },
    ),
    Line(
        None,
        "InstanceNorm1d",
        alike(real, of=((4, 3), (2, 4, 3))),
        {"num_features": (4,), "eps": EPS, "affine": EITHER, "track_running_stats": EITHER},
    ),
    Line(
        None,
        "LayerNorm",
        alike(real, of=((2, 3, 4), (5, 3, 4))),
        {"normalized_shape": (4, [3, 4], (3, 4)), "eps": EPS, "bias": EITHER},
    ),
    Line(
        None,
        "RMSNorm",
        alike(real, of=((2, 3, 4), (5, 3, 4))),
        {"normalized_shape": (4, (3, 4)), "eps": (None, 0.1), "elementwise_affine": EITHER},
    ),
    Line(
        None,
        "GroupNorm",
        matrices,
        {"num_groups": (1, 2), "num_channels": (4,), "affine": EITHER, "eps": EPS},
    ),
    Line(None, "Dropout", settings={"p": (0.5, 0.2), "inplace": EITHER}, modes=(False,)),
    Line(None, "AlphaDropout", settings={"p": (0.5, 0.2)}, modes=(False,)),
    Line(None, "Dropout", settings={"p": (0, 1)}),
    Line(None, "AlphaDropout", settings={"p": (0, 1)}),
    Line(
        None,
        "Embedding",
        alike(row_numbers),
        {
            "num_embeddings": (5,),
            "embedding_dim": (3,),
            "padding_idx": (None, 0, -2),
            "max_norm": (None, 0.7),
            "norm_type": (2.0, 1.0),
        },
    ),
    Line(None, "Flatten", alike(real, of=((2, 3, 4),)), {"start_dim": (1, 0), "end_dim": (-1, 1)}),
    Line(
        None,
        "Unflatten",
        alike(real, of=((2, 6),)),
        {"dim": (1, -1), "unflattened_size": ((2, 3), (-1, 2), [3, 2])},
    ),
    Line(
        None,
        "Bilinear",
        alike(real, lambda x: x[..., :2], of=(*ROWS, (2, 4, 3))),
        {"in1_features": (3,), "in2_features": (2,), "out_features": (4,), "bias": EITHER},
    ),
]
