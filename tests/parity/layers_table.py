"""Activations, losses and layers: what a line is stands in `against_torch`.

Functions and layers take the same tensors and settings. What is drawn for all of them is between
-6 and 6, on a grid half of the time: their kinks are there, where first derivatives must agree.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from against_torch import SINCE_2_14, calling, dtype_name, gradients, line, shapes
from hypothesis import strategies as st

Shape = tuple[int, ...]
SHAPES = ((3,), (2, 3), (), (1,), (4, 1), (0, 3), (2, 3, 4))
ROWS = ((2, 3), (1, 3), (5, 3))
CHANNELS = ((3, 4), (2, 4, 3))
MATRICES = (*CHANNELS, (2, 4, 2, 2))
BLOCKS = ((2, 3, 4), (5, 3, 4))


def alike(count: int, of: tuple[Shape, ...] = SHAPES) -> list[list[Shape]]:
    """Return the shapes of `count` tensors of one shape, for each shape."""
    return [[shape] * count for shape in of]


def classified(*more: Shape) -> list[list[Shape]]:
    """Return the shapes of scores of three classes and of the classes."""
    of = ((4, 3), (1, 3), (3,), *more)
    return [[shape, shape[:1] + shape[2:] if len(shape) > 1 else ()] for shape in of]


# What tensors go through before the call


def same(_: Any, x: Any) -> Any:
    return x


def within(low: float, high: float) -> Callable[[Any, Any], Any]:
    return lambda _, x: low + (high - low) * x.sigmoid()


def distribution(_: Any, x: Any) -> Any:
    return x.softmax(min(x.ndim - 1, 1))


def sign(_: Any, x: Any) -> Any:
    return (x > 0.1).to(x.dtype) * 2 - 1


def label(_: Any, x: Any) -> Any:
    return (x > 0).to(x.dtype)


def weight(_: Any, x: Any) -> Any:
    return x.detach().abs() + 0.1


def classes(_: Any, x: Any) -> Any:
    return (x.abs() * 7).long() % 3


def ignoring(t: Any, x: Any) -> Any:
    return t.where(x > 3, -100, classes(t, x))


# The table: a new name joins by a line


def layer(name: str) -> Callable[..., Any]:
    """Return the call of a layer: its result, and all that belongs to the layer afterwards."""

    def call(t: Any, x: Any, *xs: Any, training: bool, **settings: Any) -> Any:
        module = getattr(t.nn, name)(**settings)
        module = module.to(x.dtype) if "float" in dtype_name(x) else module
        text, rng = repr(module), np.random.default_rng(len(name))
        values = {
            key: t.tensor(rng.uniform(0.5, 1.5, tuple(value.shape))).to(value.dtype)
            for key, value in module.state_dict().items()
        }
        module.load_state_dict(values)
        out, parameters = module.train(training)(x, *xs), list(module.parameters())
        slopes = gradients(t, [out], parameters, 0) if parameters else ()
        state = [part.detach() for part in (*slopes, *module.state_dict().values())]
        return out, *state, text, ", ".join(values)

    return call


def both(
    names: str,
    of: list[list[Shape]] | None = None,
    *,
    through: tuple[Any, ...] = (),
    modes: tuple[bool, ...] = (True, False),
    last: str = "",
    order: int = 2,
    tolerance: float = 0.0,
    **settings: tuple[Any, ...],
) -> None:
    """Add a line for a function and for a layer, "relu ReLU", whose settings are these."""
    drawn = {key: st.sampled_from(values) for key, values in settings.items()}
    # PyTorch 2.14 changed what is at a margin.
    ties = int(SINCE_2_14 or "margin" not in settings)
    options = {"of": through, "ties": ties, "tolerance": max(tolerance, 1e-11)}
    for name in names.split():
        if name[0].isupper():
            path, call, highest = f"nn.{name}", layer(name.partition("(")[0]), 1
            more = {"training": st.sampled_from(modes)}
        else:
            path, highest, more = f"nn.functional.{name}", order, {}
            call = calling(path, last)
        taken = shapes(*of or alike(1), **drawn, **more)
        line(path, taken, call, low=-6, high=6, order=highest, **options)


def loss(names: str, of: Any, *through: Any, **options: Any) -> None:
    """Add a line for a loss, which has a reduction."""
    both(names, of, through=through, **{"reduction": ("mean", "sum", "none"), **options})


PER_CLASS = (None, np.array([0.5, 2.0, 0.25]))
EPS = (1e-5, 0.1)
EITHER = (False, True)
ALPHAS = (1.0, 0.5, 2)
rows, pairs, triples = (alike(count, ROWS) for count in (1, 2, 3))
scores = classified((4, 3, 2), (2, 3, 2, 2))
STATISTICS = {"num_features": (4,), "eps": EPS, "affine": EITHER, "track_running_stats": EITHER}
SMOOTHED = {"weight": PER_CLASS, "label_smoothing": (0.0, 0.1, 1)}

# Without settings
ALONE = """relu ReLU sigmoid Sigmoid tanh Tanh silu SiLU selu SELU mish Mish relu6 ReLU6 hardswish
Hardswish softsign Softsign tanhshrink Tanhshrink logsigmoid LogSigmoid"""
both(ALONE)
both("leaky_relu LeakyReLU", negative_slope=(0.01, 0.3, -0.5, 0), inplace=(False,))
both("gelu GELU", approximate=("none", "tanh"))
both("elu ELU celu CELU", alpha=ALPHAS)
both("softmax Softmax log_softmax LogSoftmax softmin Softmin", rows, dim=(0, 1, -1))
# It gives up on digits above 20.
both("softplus Softplus", beta=ALPHAS, threshold=(20.0, 1, 5.0), tolerance=3e-9)
both("hardtanh Hardtanh", min_val=(-1.0, 0, -3), max_val=(1.0, 6, 0.5))
both("hardsigmoid Hardsigmoid", order=1, tolerance=1e-7)  # its 1/6 is a float32
both("hardshrink Hardshrink softshrink Softshrink", lambd=(0.5, 1, 0))
both("threshold Threshold", threshold=(0.5, -1), value=(0.0, 7))
both("prelu", pairs, through=(same, lambda _, w: w[0]))
both("PReLU", alike(1, MATRICES), num_parameters=(1, 4), init=(0.25, -1))
both("glu GLU", alike(1, ((3, 4), (2, 4, 2))), dim=(1, -1))
loss("mse_loss MSELoss l1_loss L1Loss", alike(2))
loss("smooth_l1_loss SmoothL1Loss", alike(2), beta=(1.0, 0.5, 0, 3))
loss("huber_loss HuberLoss", alike(2), delta=(1.0, 0.5, 3))
for weighted in ("mse_loss", "l1_loss", "huber_loss"):
    loss(f"{weighted}(weights)", alike(3), same, same, weight, last="weight")
loss("cross_entropy CrossEntropyLoss", scores, same, classes, ignore_index=(-100, 1), **SMOOTHED)
loss("cross_entropy(ignoring) CrossEntropyLoss(ignoring)", scores, same, ignoring, weight=PER_CLASS)
shares = alike(2, ((3,), (2, 3), (2, 3, 4)))
loss("cross_entropy(shares) CrossEntropyLoss(shares)", shares, same, distribution, **SMOOTHED)
loss("nll_loss NLLLoss", scores, same, classes, weight=PER_CLASS, ignore_index=(-100, 1))
loss("nll_loss(ignoring) NLLLoss(ignoring)", scores, same, ignoring, weight=PER_CLASS)
chances = (within(0.02, 0.98), within(0, 1), weight)
# Its second derivative has an epsilon.
loss("binary_cross_entropy BCELoss", alike(2), *chances[:2], tolerance=1e-7)
loss("binary_cross_entropy(weights)", alike(3), *chances, last="weight", tolerance=1e-7)
loss(
    "binary_cross_entropy_with_logits BCEWithLogitsLoss",
    *(pairs, same, within(0, 1)),
    weight=(None, np.array([[0.5]]), np.array([0.5, 2.0, 1.0])),
    pos_weight=(None, np.array([3.0, 0.5, 1.0])),
)
loss("kl_div KLDivLoss", pairs, same, within(0, 2), log_target=EITHER)
batchmean = {"reduction": ("batchmean",)}
loss("kl_div(mean) KLDivLoss(mean)", alike(2), same, within(0, 2), **batchmean)
loss(
    "poisson_nll_loss PoissonNLLLoss",
    *(alike(2), within(0.1, 3), within(0, 4)),
    log_input=EITHER,
    full=EITHER,
    eps=(1e-8, 0.1),
)
loss(
    "gaussian_nll_loss GaussianNLLLoss",
    *(alike(3), same, same, within(0, 2)),
    full=EITHER,
    eps=(1e-6, 0.5),
)
loss("gaussian_nll_loss(rows)", triples, same, same, lambda _, v: v.abs()[..., :1])
loss("gaussian_nll_loss(numbers)", triples, same, same, lambda _, v: v.abs()[..., 0])
loss("hinge_embedding_loss HingeEmbeddingLoss", alike(2), same, sign, margin=(1.0, 0.5))
loss(
    "margin_ranking_loss MarginRankingLoss",
    *(alike(3, ((4,), (1,))), same, same, sign),
    margin=(0.0, 0.7),
)
loss("soft_margin_loss SoftMarginLoss", alike(2), same, sign)
labelled = "multilabel_soft_margin_loss MultiLabelSoftMarginLoss"
loss(labelled, pairs, same, label, weight=PER_CLASS)
several_weights = (np.array([[0.5], [2.0]]),)
loss("multilabel_soft_margin_loss(1d)", [[(3,), (3,)]], same, label, weight=several_weights)
loss(
    "cosine_embedding_loss CosineEmbeddingLoss",
    *(alike(3, (*ROWS, (3,))), same, same, lambda t, y: sign(t, y[..., 0])),
    margin=(0.0, 0.3),
)
loss(
    "multi_margin_loss MultiMarginLoss",
    *(classified(), same, classes),
    order=1,
    p=(1, 2),
    margin=(1.0, 0.7),
    weight=PER_CLASS,
)
distances = {"margin": (1.0, 5.0), "p": (2.0, 1, 3.0), "swap": EITHER}
loss("triplet_margin_loss TripletMarginLoss", triples, **distances)
both("cosine_similarity CosineSimilarity", pairs, dim=(1, 0))
both("cosine_similarity(broadcast)", [[(2, 3), (1, 3)], [(4, 1), (4, 3)], [(3,), (4, 3)]], dim=(1,))
orders = {"p": (2.0, 1, 3.0, np.inf), "eps": (1e-6, 0.1), "keepdim": EITHER}
both("pairwise_distance PairwiseDistance", pairs, **orders)
# Second derivatives of lengths near 0 amplify rounding.
both("normalize", rows, p=(2.0, 1, 3.0), dim=(1, 0), tolerance=1e-7)
both("BatchNorm1d", alike(1, CHANNELS), momentum=(0.1, None, 1), **STATISTICS)
both("InstanceNorm1d", alike(1, ((4, 3), (2, 4, 3))), **STATISTICS)
norms = alike(1, BLOCKS)
both("LayerNorm", norms, normalized_shape=(4, [3, 4], (3, 4)), eps=EPS, bias=EITHER)
rms = {"eps": (None, 0.1), "elementwise_affine": EITHER}
both("RMSNorm", norms, normalized_shape=(4, (3, 4)), **rms)
groups = {"num_groups": (1, 2), "num_channels": (4,)}
both("GroupNorm", alike(1, MATRICES), **groups, affine=EITHER, eps=EPS)
for dropout in ("Dropout", "AlphaDropout"):  # `modes`: in which nothing is left to chance
    both(dropout, p=(0.5, 0.2), inplace=EITHER, modes=(False,))
    both(f"{dropout}(all)", p=(0, 1))
both(
    "Embedding",
    through=(lambda _, x: (x.abs() * 2).long() % 5,),
    num_embeddings=(5,),
    embedding_dim=(3,),
    padding_idx=(None, 0, -2),
    max_norm=(None, 0.7),
    norm_type=(2.0, 1.0),
)
both("Flatten", alike(1, ((2, 3, 4),)), start_dim=(1, 0), end_dim=(-1, 1))
halves = {"dim": (1, -1), "unflattened_size": ((2, 3), (-1, 2), [3, 2])}
both("Unflatten", alike(1, ((2, 6),)), **halves)
sizes = {"in1_features": (3,), "in2_features": (2,), "out_features": (4,)}
bilinear = alike(2, (*ROWS, (2, 4, 3)))
both("Bilinear", bilinear, through=(same, lambda _, x: x[..., :2]), **sizes, bias=EITHER)

attended = shapes([(2, 4, 3), (2, 5, 3), (2, 5, 2)], is_causal=st.booleans())
line("nn.functional.scaled_dot_product_attention", attended)
masked = shapes([(4, 3), (5, 3), (5, 3), (4, 5)], scale=st.sampled_from([None, 0.5]))
line("nn.functional.scaled_dot_product_attention(mask)", masked)
