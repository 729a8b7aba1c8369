"""Wrong calls that PyTorch refuses: none is accepted here, but for those of differences.md.

Tests of messages, beside the functions, refuse others, and `test_functions_parity` other shapes and
dims; here a function is refused once for each of its other reasons.
"""

from pathlib import Path
from typing import Any

import pytest

import tinygrad_fc as tg

torch = pytest.importorskip("torch")

REDUCTIONS = "sum mean prod amax amin argmax argmin std var all any logsumexp softmax cumsum"
WITH_DIM = f"{REDUCTIONS} log_softmax cumprod sort unbind argsort median"
LAYERS = "ReLU Sigmoid Tanh GELU SiLU ELU LeakyReLU Softplus Mish Hardtanh SELU"
OPTIMIZERS = "SGD Adam AdamW RMSprop Adagrad Adadelta Adamax NAdam RAdam"
INITS = "xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_ orthogonal_"

CALLS = [
    *(f"t.{f}(x, dim={d})" for f in WITH_DIM.split() for d in (2, -3, "'a'")),
    *(f"nn.{m}()(x, x)" for m in LAYERS.split()),
    *(f"nn.{m}()('x')" for m in LAYERS.split()),
    *(f"nn.{m}(width=3)" for m in LAYERS.split()),
    *(f"optim.{o}([p()], lr=0.1, speed=2)" for o in OPTIMIZERS.split()),
    *(f"nn.init.{f}({v})" for f in INITS.split() for v in ("t.ones(3)", "[1.0]")),
    *"""
nn.Linear(3, 2)(t.ones(2, 3, dtype=t.int64))
nn.Dropout("a")
nn.ModuleList(5)
nn.ModuleDict({1: nn.ReLU()})
nn.Linear(3, 2).to("gpu")
nn.Parameter("a")
nn.Softmax(dim=5)(x)
nn.GLU()(t.ones(2, 3))
nn.CrossEntropyLoss(reduction="a")(x, t.tensor([0, 1]))
nn.MarginRankingLoss()(x, x)
nn.CosineEmbeddingLoss()(x, x, t.ones(3))
nn.utils.clip_grad_norm_([5], 1.0)
F.one_hot(t.tensor([0.5]))
F.one_hot(t.tensor([-1]))
F.normalize(x, dim=4)
F.linear(x, t.ones(2, 4))
F.linear(x, t.ones(2, 3), t.ones(5))
F.cosine_similarity(x, t.ones(2, 4))
F.nll_loss(x, t.tensor([[0, 1]]))
F.cross_entropy(x, t.ones(4, 4))
t.zeros(-1)
t.zeros(2.5)
t.ones(2, dtype="b7")
t.ones(2, device="gpu")
t.full(2, 3)
t.eye(-1)
t.linspace(0, 1)
t.linspace(0, 1, -1)
t.linspace(0, 1, 2.5)
t.tensor([1.0], requires_grad=1)
t.rand(-1)
t.randn("a")
t.manual_seed("a")
t.manual_seed(None)
t.cat([x, 5])
t.split(x, -1)
t.chunk(x, 0)
x.view(7)
x.t().view(6)
x.permute(0, 5)
x.flatten(1, 0)
x.repeat(2)
x.repeat_interleave(-1)
x.flip(5)
x.movedim(0, 5)
x[0.5]
x[t.tensor([0.5])]
x[::-1]
x.index_select(0, t.tensor([0.5]))
x.scatter(0, t.tensor([[5]]), 1.0)
x.kthvalue(0)
x.kthvalue(7)
x.quantile("a")
t.where(x > 0, x)
t.clamp(x, "a")
t.div(x, "a")
t.einsum("ij", x, x)
t.addmm(x, x, x)
t.linalg.solve(t.ones(2, 3), x)
t.norm(x, dim=5)
t.tensor([True]) - t.tensor([True])
-t.tensor([True])
x + None
x & x
~x
p().numpy()
x.type("a")
x.fill_(x)
x.clone().bernoulli_(2.0)
t.tensor([1, 2]).div_(2)
t.unique(x, dim=5)
t.bincount(t.tensor([-1]))
t.bincount(t.tensor([0.5]))
t.searchsorted(x, "a")
t.meshgrid(x, x)
t.broadcast_to(x, (4,))
t.lerp(x, x, "a")
optim.SGD(5, lr=0.1)
optim.SGD([p()]).load_state_dict({})
optim.SGD([p()]).step(5)
s.ConstantLR(o(), factor=1.5)
s.ConstantLR(o(), factor=-0.5)
s.LinearLR(o(), start_factor=0.0)
s.LinearLR(o(), start_factor=1.5)
s.LinearLR(o(), end_factor=1.5)
s.CosineAnnealingWarmRestarts(o(), 2, 0)
s.CosineAnnealingWarmRestarts(o(), 2, eta_min="0")
s.OneCycleLR(o(), 0.1, total_steps=0)
s.OneCycleLR(o(), [0.1], total_steps=9)
s.OneCycleLR(o(), 0.1, epochs=2, steps_per_epoch=2.5)
s.OneCycleLR(o(), 0.1, total_steps=9, pct_start=1.5)
s.OneCycleLR(o(), 0.1, total_steps=9, anneal_strategy="sin")
s.CyclicLR(o(), 0.1, 1, mode="square")
s.CyclicLR(o(), [0.1], 1)
s.ReduceLROnPlateau(o(), threshold_mode="percent")
s.ReduceLROnPlateau(o(), min_lr=[0.0])
s.ReduceLROnPlateau(o(), mode="a")
data.TensorDataset(x, t.ones(5))
data.TensorDataset(x)[7]
data.Subset(data.TensorDataset(x), [7])[0]
t.func.grad(5)(x)
t.autograd.functional.jacobian(5, x)
t.addmm(t.ones(3), t.ones(2, 3), t.ones(3, 2))
F.linear(t.tensor(1.0), t.ones(2, 3), t.ones(2))
t.ones(2).sum(dim=(0, 0))
t.zeros(0).amax()
t.ones(2, 2).max((0, 1))
t.ones(0).reshape(0, -1)
t.ones(2).expand(-1, 2)
t.ones(2).flip(0, 0)
t.div(t.ones(2), 2, rounding_mode="up")
t.ones(2).mul_(2, alpha=2)
(p() * 1).add_(t.ones(2, 3))
setattr(t.ones(2, requires_grad=True), "data", t.tensor([1]))
t.isclose(t.ones(2), t.ones(2), rtol=-1.0)
t.bitwise_xor(t.ones(2), 1)
t.tensor([1]).floor_divide(t.tensor([0]))
t.div(t.tensor([1]), t.tensor([0]), rounding_mode="floor")
t.div(t.tensor([1]), t.tensor([0]), rounding_mode="trunc")
t.fmod(t.tensor([1]), t.tensor([0]))
t.norm(t.tensor([1, 2]))
t.linalg.inv(t.eye(2).half())
t.linalg.matrix_norm(t.ones(2))
t.linalg.norm(t.ones(2, 2, 2), 1)
t.linalg.norm(t.ones(2), "fro")
t.linalg.inv(t.tensor([[1]]))
t.linalg.solve(t.zeros(2, 2), t.ones(2, 0))
t.linalg.solve(t.eye(2), t.ones(3, 1))
t.linalg.solve(t.eye(2), t.ones(2), left=False)
t.tensordot(t.ones(2, 2), t.ones(2, 2), dims=([0, 1], [0]))
t.ones(2).index_add(0, t.tensor([2]), t.ones(1))
t.ones(2).scatter(0, t.tensor([1]))
t.ones(2).scatter(0, t.tensor([0]), t.tensor([1]))
t.ones(2).scatter(0, t.tensor([0]), t.ones(1), reduce="mean")
t.ones(2).scatter_add(0, t.tensor([-1]), t.ones(1))
t.ones(2).scatter_add(0, t.tensor([0]), t.tensor([1]))
t.bincount(t.tensor([1]), t.ones(2))
t.searchsorted(t.ones(2), t.ones(2), side="middle")
t.searchsorted(t.ones(2), t.ones(2), right=True, side="left")
t.ones(2).repeat(-1)
t.ones(2).repeat_interleave(t.tensor([1, 2, 3]), dim=0)
t.ones(2).repeat_interleave(t.tensor([1.0, 2.0]), dim=0)
t.vstack([])
t.ones(2, 2).movedim((0, 1), (0, 0))
t.ones(2, 2).movedim((0, 1), 0)
t.meshgrid(t.ones(2), indexing="yx")
F.cross_entropy(t.zeros(2, 3), t.tensor([0, 1]), label_smoothing=1.5)
F.cross_entropy(t.zeros(2, 3), t.zeros(2, 3), ignore_index=1)
F.huber_loss(t.zeros(2), t.zeros(2), delta=-1.0)
F.smooth_l1_loss(t.zeros(2), t.zeros(2), beta=-1.0)
F.multi_margin_loss(t.zeros(2, 3), t.tensor([0, 1]), p=3)
F.triplet_margin_loss(*[t.zeros(2, 3)] * 3, margin=0)
F.cosine_embedding_loss(*[t.zeros(2, 3)] * 2, t.ones(2, 1))
F.celu(t.zeros(3), 0)
F.batch_norm(t.zeros(2, 3), None, None)
nn.RMSNorm(3)(t.zeros(2, 4))
nn.Unflatten(1, (2, 2))(t.zeros(2, 6))
nn.Bilinear(0, 3, 4)
""".strip().splitlines(),
]
DIFFERENT = {
    "p().numpy()": "`t.numpy()` works on tensors that require grad",
    "x[::-1]": "Slices may have negative steps",
    "t.full(2, 3)": "A\n  size may be a number where PyTorch wants a tuple",
}
"""Calls that are accepted here, and a part of the sentence of differences.md that says so."""
DIFFERENCES = Path(__file__).parents[2] / "docs/explanation/differences.md"


def error_of(module: Any, call: str) -> Exception | None:
    """Return the error that a call raises."""
    module.manual_seed(0)
    names = {
        "t": module,
        "nn": module.nn,
        "F": module.nn.functional,
        "optim": module.optim,
        "data": module.utils.data,
        "x": module.ones(2, 3) / 2,
        "p": lambda: module.ones(3, requires_grad=True),
        "s": module.optim.lr_scheduler,
    }
    names["o"] = lambda: module.optim.SGD([{"params": [names["p"]()], "lr": r} for r in (0.1, 0.2)])
    try:
        eval(call, names)  # noqa: S307  a line of the list above
    except Exception as error:  # noqa: BLE001  of whatever class
        return error
    return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", list(dict.fromkeys(CALLS)))
def test_what_pytorch_refuses_is_refused(call: str) -> None:
    ours, theirs = (error_of(t, call) for t in (tg, torch))
    if theirs is not None:
        assert (ours is None) == (call in DIFFERENT)
        assert DIFFERENT.get(call, "") in DIFFERENCES.read_text("utf-8")
    if ours is not None and isinstance(theirs, IndexError):
        assert isinstance(ours, IndexError | TypeError)
