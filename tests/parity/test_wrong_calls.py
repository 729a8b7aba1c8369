"""Wrong calls that PyTorch refuses: none is accepted here, but for those of differences.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tinygrad_fc as tg

torch = pytest.importorskip("torch")

UNARY = "abs exp log sqrt sin cos tanh sigmoid floor sign neg square reciprocal erf isnan"
REDUCTIONS = "sum mean prod amax amin argmax argmin std var all any logsumexp softmax cumsum"
WITH_DIM = f"{REDUCTIONS} log_softmax cumprod sort unbind argsort median"
BINARY = "add sub mul div pow maximum minimum atan2 fmod remainder eq lt logaddexp"
LOSSES = "mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy kl_div cross_entropy"
LAYERS = "ReLU Sigmoid Tanh GELU SiLU ELU LeakyReLU Softplus Mish Hardtanh SELU"
WIDTHS = "Linear(3, 2) BatchNorm1d(3) LayerNorm(3) Bilinear(3,3,2) GroupNorm(3,3) Embedding(3,2)"
OPTIMIZERS = "SGD Adam AdamW RMSprop Adagrad Adadelta Adamax NAdam RAdam"
INITS = "xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_ orthogonal_"

CALLS = [
    *(f"t.{f}({x})" for f in UNARY.split() for x in ("'a'", "None", "[x, 'b']")),
    *(f"t.{f}(x, x, x)" for f in UNARY.split()),
    *(f"t.{f}(x, dim={d})" for f in WITH_DIM.split() for d in (2, -3, "'a'")),
    *(f"t.{f}(x, {y})" for f in BINARY.split() for y in ("t.ones(4)", "'a'", "t.ones(2, 2)")),
    *(f"F.{f}(x, t.ones(2, 3) / 2, reduction='average')" for f in LOSSES.split()),
    *(f"F.{f}(x, t.ones(4, 4))" for f in LOSSES.split()),
    *(f"nn.{m}()(x, x)" for m in LAYERS.split()),
    *(f"nn.{m}()('x')" for m in LAYERS.split()),
    *(f"nn.{m}(width=3)" for m in LAYERS.split()),
    *(f"nn.{m}(t.ones(2, 5))" for m in WIDTHS.split(" ") if "," not in m),
    *(f"optim.{o}([], lr=0.1)" for o in OPTIMIZERS.split()),
    *(f"optim.{o}([p()], lr=-1.0)" for o in OPTIMIZERS.split()),
    *(f"optim.{o}([p()], lr=0.1, weight_decay=-1)" for o in OPTIMIZERS.split()),
    *(f"optim.{o}([p()], lr=0.1, speed=2)" for o in OPTIMIZERS.split()),
    *(f"optim.{o}([p() * 2], lr=0.1)" for o in OPTIMIZERS.split()),
    *(f"optim.{o}([p(), [1.0]], lr=0.1)" for o in OPTIMIZERS.split()),
    *(f"nn.init.{f}({v})" for f in INITS.split() for v in ("t.ones(3)", "[1.0]")),
    *"""
nn.Linear(3, 2)(t.ones(2, 5))
nn.Linear(3, 2)(5)
nn.Linear(3, 2)(t.ones(2, 3, dtype=t.int64))
nn.Linear(3, -2)
nn.Linear(3.5, 2)
nn.Linear("3", 2)
nn.Linear(3)
nn.Embedding(3, 2)(t.tensor([3]))
nn.Embedding(3, 2)(t.tensor([-4]))
nn.Embedding(3, 2)(t.tensor([0.5]))
nn.Embedding(3, 2, padding_idx=3)
nn.Dropout(-0.1)
nn.Dropout(1.5)
nn.Dropout("a")
nn.GroupNorm(2, 3)
nn.LayerNorm(4)(x)
nn.BatchNorm1d(4)(x)
nn.BatchNorm1d(3)(t.ones(1, 3))
nn.BatchNorm1d(3)(t.ones(3))
nn.Sequential(5)
nn.Sequential("a")
nn.ModuleList([5])
nn.ModuleList(5)
nn.ModuleDict({"a": 5})
nn.ModuleDict({1: nn.ReLU()})
nn.ParameterList([nn.ReLU()])
nn.Module()(x)
nn.Module().register_parameter("a", 5)
nn.Module().register_parameter("a.b", None)
nn.Module().register_parameter("", None)
nn.Module().register_buffer("a", 5)
nn.Module().add_module("a", 5)
nn.Module().load_state_dict({"a": x})
nn.Module().load_state_dict(5)
nn.Linear(3, 2).load_state_dict({})
nn.Linear(3, 2).load_state_dict({"weight": t.ones(3, 3), "bias": t.ones(2)})
nn.Linear(3, 2).get_parameter("b")
nn.Linear(3, 2).missing
nn.Linear(3, 2).to("gpu")
nn.Linear(3, 2).to(t.int64)
nn.Parameter("a")
nn.Parameter(t.ones(2, dtype=t.int64))
nn.PReLU(3)(t.ones(2, 4))
nn.Softmax(dim=5)(x)
nn.GLU()(t.ones(2, 3))
nn.Threshold(1.0)
nn.CrossEntropyLoss()(x, t.tensor([0, 3]))
nn.CrossEntropyLoss()(x, t.tensor([0, -1]))
nn.CrossEntropyLoss()(x, t.tensor([0]))
nn.CrossEntropyLoss()(x, t.tensor([0.0, 1.0]))
nn.CrossEntropyLoss(weight=t.ones(2))(x, t.tensor([0, 1]))
nn.CrossEntropyLoss(reduction="a")(x, t.tensor([0, 1]))
nn.CrossEntropyLoss(label_smoothing=2.0)(x, t.tensor([0, 1]))
nn.NLLLoss()(x, t.tensor([0, 5]))
nn.BCELoss()(x * 9, t.ones(2, 3))
nn.BCELoss()(x, t.ones(2))
nn.BCEWithLogitsLoss()(x, t.ones(2))
nn.HuberLoss(delta=-1.0)(x, x)
nn.SmoothL1Loss(beta=-1.0)(x, x)
nn.MarginRankingLoss()(x, x)
nn.CosineEmbeddingLoss()(x, x, t.ones(3))
nn.MSELoss()(x)
nn.init.calculate_gain("unknown")
nn.init.kaiming_uniform_(t.ones(2, 2), mode="fan")
nn.init.eye_(t.ones(3))
nn.init.sparse_(t.ones(3), 0.1)
nn.utils.clip_grad_norm_([5], 1.0)
nn.utils.vector_to_parameters([1.0], [p()])
F.dropout(x, 2.0)
F.one_hot(t.tensor([0.5]))
F.one_hot(t.tensor([3]), 2)
F.one_hot(t.tensor([-1]))
F.pad(x, (1,))
F.pad(x, (1, 1, 1, 1, 1, 1))
F.normalize(x, dim=4)
F.softmax(x, dim=7)
F.linear(x, t.ones(2, 4))
F.linear(x, t.ones(2, 3), t.ones(5))
F.embedding(t.tensor([7]), t.ones(3, 2))
F.layer_norm(x, (4,))
F.batch_norm(t.ones(1, 3), None, None, training=True)
F.cosine_similarity(x, t.ones(2, 4))
F.binary_cross_entropy_with_logits(x, t.ones(3))
F.nll_loss(x, t.tensor([[0, 1]]))
F.gelu(x, approximate="a")
t.zeros(-1)
t.zeros(2.5)
t.zeros("a")
t.ones(2, dtype="b7")
t.ones(2, dtype=5)
t.ones(2, device="gpu")
t.ones(2, requires_grad="no")
t.full((2,), "a")
t.full(2, 3)
t.eye(-1)
t.arange(0, 5, -1)
t.arange(0, 5, 0)
t.linspace(0, 1)
t.linspace(0, 1, -1)
t.linspace(0, 1, 2.5)
t.tensor([1, [2]])
t.tensor([[1.0], [1.0, 2.0]])
t.tensor("a")
t.tensor(None)
t.tensor(object())
t.tensor([1, 2], requires_grad=True)
t.tensor([1.0], requires_grad=1)
t.from_numpy([1.0])
t.rand(-1)
t.randn("a")
t.randint(5, 5, (2,))
t.randint(5, 2, (2,))
t.randperm(-1)
t.bernoulli(x + 2)
t.bernoulli(x - 3)
t.multinomial(t.zeros(3), 1)
t.multinomial(t.ones(3), 4)
t.multinomial(t.ones(3), 0)
t.multinomial(-t.ones(3), 1)
t.normal(0.0, -1.0, (3,))
t.manual_seed("a")
t.manual_seed(None)
t.cat([])
t.cat([x, t.ones(2)])
t.cat([x, t.ones(3, 4)])
t.cat([x, x], dim=2)
t.cat(x)
t.cat([x, 5])
t.stack([])
t.stack([x, t.ones(2)])
t.stack([x, x], dim=4)
t.split(x, -1)
t.split(x, [1, 5])
t.chunk(x, 0)
t.chunk(x, -1)
t.reshape(x, (2, -3))
t.reshape(x, (4,))
t.reshape(x, (-1, -1))
t.reshape(x, (-1, 4))
x.reshape(2, -3)
x.view(2, -3)
x.view(7)
x.t().view(6)
x.expand(2, 4)
x.expand(3)
x.permute(0)
x.permute(0, 0)
x.permute(0, 5)
x.transpose(0, 5)
x.unsqueeze(5)
x.squeeze(5)
x.flatten(1, 0)
x.flatten(5)
t.ones(2, 2, 2).t()
x.repeat(2)
x.repeat_interleave(-1)
x.roll(1, 5)
x.flip(5)
x.movedim(0, 5)
x.unflatten(1, (2, 2))
x.narrow(0, 1, 5)
x.select(0, 5)
x[5]
x[:, 5]
x[0, 0, 0]
x["a"]
x[0.5]
x[t.tensor([5])]
x[t.tensor([0.5])]
x[t.ones(5, dtype=t.bool)]
x[::-1]
x.index_select(0, t.tensor([5]))
x.index_select(0, t.tensor([0.5]))
x.gather(0, t.tensor([0]))
x.gather(1, t.tensor([[5], [0]]))
x.scatter(0, t.tensor([[5]]), 1.0)
x.masked_fill(t.ones(2, 3, dtype=t.int64), 0.0)
x.masked_fill(t.ones(4, dtype=t.bool), 0.0)
x.masked_fill(x, 0.0)
x.masked_select(t.ones(2, 3, dtype=t.int64))
x.topk(7)
x.topk(-1)
x.kthvalue(0)
x.kthvalue(7)
x.quantile(2.0)
x.quantile(-0.5)
x.quantile("a")
t.where(x, x, x)
t.where(x > 0, x)
t.where(x > 0, x, t.ones(5))
t.clamp(x)
t.clamp(x, "a")
t.matmul(x, x)
t.matmul(x, t.ones(4))
t.matmul(x, t.tensor(1.0))
t.mm(x, t.ones(3))
t.mv(x, x)
t.dot(x, x)
t.bmm(x, x)
t.outer(x, x)
t.einsum("ij,jk", x, x)
t.einsum("ij", x, x)
t.einsum("i", x)
t.einsum("ij->k", x)
t.addmm(x, x, x)
t.trace(t.ones(3))
t.diag(t.ones(2, 2, 2))
t.tril(t.ones(3))
t.cross(x, t.ones(2, 2))
t.cdist(x, t.ones(2, 4))
t.linalg.inv(x)
t.linalg.inv(t.zeros(2, 2))
t.linalg.solve(t.ones(2, 3), x)
t.linalg.solve(t.zeros(2, 2), t.ones(2))
t.linalg.cholesky(-t.eye(2))
t.linalg.det(x)
t.linalg.norm(x, "a")
t.norm(x, dim=5)
t.tensor([1, 2]) ** -1
t.tensor([1, 2]) // t.tensor([0, 1])
t.tensor([1, 2]).mean()
t.tensor([1, 2]).softmax(0)
t.tensor([True]) - t.tensor([True])
-t.tensor([True])
x + "a"
x + None
"a" + x
x @ 5
x & x
~x
bool(x)
float(x)
int(x)
x.item()
len(t.tensor(1.0))
list(t.tensor(1.0))
t.tensor(1.0)[0]
iter(t.tensor(1.0))
x.backward()
x.sum().backward()
p().backward()
(p() * 2).sum().backward(t.ones(2))
(p() * 2).backward(t.ones(5))
t.autograd.grad(x.sum(), x)
t.autograd.grad(p().sum(), p())
t.autograd.grad(p(), p())
p().numpy()
p().add_(1)
p().zero_()
p().exp_()
p().requires_grad_("no")
x.requires_grad_(5)
t.tensor([1]).requires_grad_()
(p() * 2).requires_grad_(False)
x.to("gpu")
x.to(5)
x.type("a")
x.add_(t.ones(4))
x.add_("a")
x.clone().add_(t.ones(5, 2, 3))
x.copy_(t.ones(5))
x.fill_("a")
x.fill_(x)
x.clone().normal_(0, -1)
x.clone().uniform_(2, 1)
x.clone().bernoulli_(2.0)
x.__setitem__(5, 1.0)
x.__setitem__(0, t.ones(5))
x.__setitem__("a", 1.0)
t.tensor([1, 2]).div_(2)
t.tensor([1, 2]).add_(0.5)
t.set_default_dtype(t.int64)
t.set_default_dtype("a")
t.device("gpu")
t.device("cpu", "a")
t.finfo(t.int64)
t.iinfo(t.float32)
t.cumsum(x)
t.var(x, correction="a")
t.unique(x, dim=5)
t.bincount(t.tensor([-1]))
t.bincount(t.tensor([0.5]))
t.searchsorted(x, "a")
t.meshgrid(x, x)
t.broadcast_to(x, (4,))
t.lerp(x, x, "a")
t.compile(5)
t.no_grad()(5)
optim.SGD(5, lr=0.1)
optim.SGD("a", lr=0.1)
optim.SGD([x.long()], lr=0.1)
optim.SGD([p()], lr="a")
optim.SGD([p()], momentum=-1)
optim.SGD([p()], nesterov=True)
optim.SGD([{"lr": 0.1}])
optim.SGD([p()]).load_state_dict({})
optim.SGD([p()]).step(5)
optim.Adam([p()], betas=(1.5, 0.9))
optim.Adam([p()], betas=0.9)
optim.Adam([p()], eps=-1)
optim.RMSprop([p()], alpha=-1)
optim.lr_scheduler.StepLR(5, 1)
optim.lr_scheduler.StepLR(optim.SGD([p()]))
optim.lr_scheduler.LambdaLR(optim.SGD([p()]), [])
optim.lr_scheduler.OneCycleLR(optim.SGD([p()]), 0.1)
optim.lr_scheduler.OneCycleLR(optim.SGD([p()]), 0.1, total_steps=-1)
optim.lr_scheduler.ReduceLROnPlateau(optim.SGD([p()]), mode="a")
optim.lr_scheduler.ReduceLROnPlateau(optim.SGD([p()]), factor=1.5)
optim.lr_scheduler.SequentialLR(optim.SGD([p()]), [], [1])
data.DataLoader(data.TensorDataset(x), num_workers=-1)
data.DataLoader(data.TensorDataset(x), batch_size=0)
data.DataLoader(data.TensorDataset(x), batch_size=-2)
data.DataLoader(data.TensorDataset(x), batch_size=1.5)
data.DataLoader(data.TensorDataset(x), shuffle=True, sampler=[0])
data.TensorDataset(x, t.ones(5))
data.TensorDataset(x)[7]
data.random_split(data.TensorDataset(x), [5, 5])
data.random_split(data.TensorDataset(x), [0.7, 0.7])
data.Subset(data.TensorDataset(x), [7])[0]
data.RandomSampler([])
data.RandomSampler([1], num_samples=-1)
data.BatchSampler([0], 0, False)
t.distributions.Normal(0.0, -1.0)
t.distributions.Bernoulli(2.0)
t.distributions.Categorical(t.tensor([-1.0, 2.0]))
t.distributions.Uniform(2.0, 1.0)
t.func.grad(5)(x)
t.func.grad(lambda v: v)(x)
t.func.vmap(lambda v: v)(5)
t.func.vmap(lambda a, b: a + b)(x, t.ones(5))
t.autograd.functional.jacobian(5, x)
t.autograd.gradcheck(lambda v: v * 2, x)
""".strip().splitlines(),
]
DIFFERENT = {
    "p().numpy()": "`t.numpy()` works on tensors that require grad",
    "x[::-1]": "Slices may have negative steps",
    "t.full(2, 3)": "A\n  size may be a number where PyTorch wants a tuple",
}
"""Calls that are accepted here, and a part of the sentence of differences.md that says so."""
DIFFERENCES = Path(__file__).parents[2] / "docs/explanation/differences.md"


def accepted(module: Any, call: str) -> bool:
    """Return whether a call is accepted."""
    module.manual_seed(0)
    names = {
        "t": module,
        "nn": module.nn,
        "F": module.nn.functional,
        "optim": module.optim,
        "data": module.utils.data,
        "x": module.ones(2, 3) / 2,
        "p": lambda: module.ones(3, requires_grad=True),
    }
    try:
        eval(call, names)  # noqa: S307  a line of the list above
    except Exception:  # noqa: BLE001  of whatever class
        return False
    return True


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", list(dict.fromkeys(CALLS)))
def test_what_pytorch_refuses_is_refused(call: str) -> None:
    if not accepted(torch, call):
        assert accepted(tg, call) == (call in DIFFERENT)
        assert DIFFERENT.get(call, "") in DIFFERENCES.read_text("utf-8")


def test_most_of_the_calls_are_wrong() -> None:
    assert len({*CALLS}) > 300
