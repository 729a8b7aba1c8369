"""Every promised name of PyTorch exists under its path, and has one module that defines it."""

from __future__ import annotations

import ast
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import tinygrad_fc as tg

CREATION = """tensor as_tensor from_numpy zeros ones full eye arange linspace empty zeros_like
ones_like full_like empty_like rand randn randint randperm rand_like randn_like bernoulli
multinomial normal manual_seed Generator"""
MODES = """no_grad enable_grad set_grad_enabled is_grad_enabled inference_mode
set_default_dtype get_default_dtype float64 float32 float16 int64 int32 uint8 bool double float
long int device cuda.is_available accelerator.is_available accelerator.current_accelerator
save load"""
# Functions and methods both.
BOTH = """abs neg exp log sqrt square sin cos tanh sigmoid relu clamp add sub mul div pow maximum
minimum where eq ne lt le gt ge sum mean max min argmax argmin var std all any logsumexp softmax
log_softmax matmul mm mv dot bmm outer addmm transpose permute t squeeze unsqueeze flatten split
chunk unbind gather masked_fill sort topk flip reshape sign floor ceil round reciprocal expm1
log1p log2 log10 rsqrt erf isnan isinf isfinite isclose allclose equal nan_to_num tan atan atan2
asin acos sinh cosh exp2 trunc fmod lgamma digamma logaddexp xlogy hypot logical_and logical_or
logical_not logical_xor bitwise_and bitwise_or bitwise_xor
bitwise_not remainder floor_divide lerp addcmul addcdiv clamp_min clamp_max prod
cumsum cumprod amax amin median count_nonzero norm trace inner kron index_select broadcast_to tile
repeat_interleave select diag argsort tril triu index_add masked_select scatter scatter_add
nonzero unique bincount histogram roll narrow take_along_dim movedim ravel unflatten"""
FUNCTIONS = """einsum cat stack var_mean tensordot hstack vstack meshgrid searchsorted linalg.norm
linalg.vector_norm linalg.solve linalg.inv linalg.det linalg.slogdet linalg.cholesky
linalg.svd linalg.svdvals linalg.cross svd cross"""
METHODS = """shape dtype ndim size numel dim item tolist numpy clone detach requires_grad
requires_grad_ is_leaf grad retain_grad register_hook backward data T mT to float double int long
bool type_as contiguous view expand __len__ __iter__ __getitem__ __setitem__ __bool__ __float__
__int__ __index__ __repr__ __array__ __dlpack__ add_ sub_ mul_ div_ clamp_ zero_ fill_ copy_
normal_ uniform_ repeat expand_as new_zeros"""
AUTOGRAD = """autograd.Variable autograd.grad autograd.backward autograd.Function autograd.gradcheck
autograd.gradgradcheck autograd.detect_anomaly autograd.functional.jacobian
autograd.functional.hessian autograd.functional.vjp autograd.functional.jvp
autograd.functional.hvp func.grad func.value_and_grad func.vjp func.jvp func.jacrev func.hessian
func.vmap func.jacfwd func.linearize func.functional_call func.stack_module_state
autograd.forward_ad.dual_level autograd.forward_ad.make_dual autograd.forward_ad.unpack_dual"""
DISTRIBUTIONS = """Normal Categorical Bernoulli Uniform MultivariateNormal Independent Beta Gumbel
LogNormal RelaxedOneHotCategorical TransformedDistribution AffineTransform TanhTransform
ExpTransform SigmoidTransform kl_divergence kl.kl_divergence constraints.real
transforms.Transform normal.Normal categorical.Categorical bernoulli.Bernoulli uniform.Uniform
multivariate_normal.MultivariateNormal independent.Independent beta.Beta gumbel.Gumbel
log_normal.LogNormal relaxed_categorical.RelaxedOneHotCategorical
transformed_distribution.TransformedDistribution distribution.Distribution"""
LAYERS = """Module Parameter Sequential ModuleList ModuleDict ParameterList Linear Identity
Flatten Embedding Dropout BatchNorm1d LayerNorm ReLU Sigmoid Tanh LeakyReLU GELU SiLU ELU Softmax
LogSoftmax Softplus MSELoss L1Loss SmoothL1Loss HuberLoss CrossEntropyLoss NLLLoss BCELoss
BCEWithLogitsLoss SELU CELU Mish ReLU6 Hardtanh Hardswish Hardsigmoid Softsign Hardshrink
Softshrink Tanhshrink LogSigmoid Softmin Threshold PReLU GLU GroupNorm InstanceNorm1d RMSNorm
AlphaDropout Unflatten Bilinear KLDivLoss PoissonNLLLoss GaussianNLLLoss HingeEmbeddingLoss
MarginRankingLoss SoftMarginLoss MultiLabelSoftMarginLoss CosineEmbeddingLoss MultiMarginLoss
TripletMarginLoss CosineSimilarity PairwiseDistance"""
FUNCTIONAL = """linear embedding dropout batch_norm layer_norm relu sigmoid tanh leaky_relu gelu
silu elu softmax log_softmax softplus mse_loss l1_loss smooth_l1_loss huber_loss cross_entropy
nll_loss binary_cross_entropy binary_cross_entropy_with_logits one_hot selu celu mish relu6
hardtanh hardswish hardsigmoid softsign hardshrink softshrink tanhshrink logsigmoid softmin
threshold prelu glu group_norm instance_norm rms_norm alpha_dropout bilinear kl_div
poisson_nll_loss gaussian_nll_loss hinge_embedding_loss margin_ranking_loss soft_margin_loss
multilabel_soft_margin_loss cosine_embedding_loss multi_margin_loss triplet_margin_loss
cosine_similarity pairwise_distance normalize"""
TOOLS = """init.uniform_ init.normal_ init.constant_ init.zeros_ init.ones_ init.eye_
init.xavier_uniform_ init.xavier_normal_ init.kaiming_uniform_ init.kaiming_normal_
init.orthogonal_ init.trunc_normal_ init.calculate_gain utils.clip_grad_norm_
utils.clip_grad_value_ utils.parameters_to_vector utils.vector_to_parameters
utils.weight_norm utils.remove_weight_norm utils.spectral_norm utils.remove_spectral_norm
utils.parametrizations.weight_norm utils.parametrizations.spectral_norm
utils.parametrizations.orthogonal utils.parametrize.register_parametrization
utils.parametrize.remove_parametrizations utils.parametrize.is_parametrized
utils.prune.l1_unstructured utils.prune.random_unstructured utils.prune.custom_from_mask
utils.prune.remove utils.prune.is_pruned"""
OPTIMIZERS = """SGD Adam AdamW RMSprop Adagrad Adadelta Adamax NAdam RAdam Rprop ASGD LBFGS"""
SCHEDULES = """StepLR MultiStepLR ExponentialLR CosineAnnealingLR LambdaLR LinearLR OneCycleLR
ReduceLROnPlateau SequentialLR ConstantLR PolynomialLR MultiplicativeLR
CosineAnnealingWarmRestarts CyclicLR ChainedScheduler"""
DATA = """Dataset TensorDataset Subset random_split DataLoader RandomSampler SequentialSampler
BatchSampler"""

PATHS = [
    *(f"{prefix}{name}" for prefix, names in (
        ("", CREATION), ("", MODES), ("", BOTH), ("Tensor.", BOTH), ("", FUNCTIONS),
        ("Tensor.", METHODS), ("", AUTOGRAD), ("nn.", LAYERS), ("nn.functional.", FUNCTIONAL),
        ("nn.", TOOLS), ("optim.", OPTIMIZERS), ("optim.lr_scheduler.", SCHEDULES),
        ("utils.data.", DATA), ("distributions.", DISTRIBUTIONS),
    ) for name in names.split()),
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_the_name_exists(path: str):
    value: Any = reduce(getattr, path.split("."), tg)
    assert value is not None
    first = path.partition(".")[0]
    assert hasattr(tg, first)


# Other parameters than those of the function
METHODS_OF_THEIR_OWN = {"clone", "detach", "polygamma", "type", "where", "is_floating_point"}
NOT_LISTED = {"inverse", "norm", "svd", "linear"}  # other functions of `tg.linalg`; in F alone
PACKAGE = Path(tg.__file__).parent


def definitions() -> dict[str, dict[str, Any]]:
    """Return the functions that each module of ops and functions defines and lists in `__all__`."""
    found: dict[str, dict[str, Any]] = {}
    for folder in ("ops", "functional", "nn/functional"):
        for path in sorted((PACKAGE / folder).glob("[a-z]*.py")):
            module = import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
            defined: set[str] = set()
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    defined.add(node.name)
                elif isinstance(node, ast.Assign):
                    stored = (n for target in node.targets for n in ast.walk(target))
                    defined |= {n.id for n in stored if isinstance(n, ast.Name)}
            public = defined & set(getattr(module, "__all__", ()))
            found[module.__name__] = {name: getattr(module, name) for name in sorted(public)}
    return found


def test_every_name_has_one_module_that_defines_it():
    modules: dict[str, list[str]] = {}
    for module, functions in definitions().items():
        for name in functions:
            modules.setdefault(name, []).append(module)
    assert len(modules) > 200
    assert {name: found for name, found in modules.items() if len(found) > 1} == {}
    # A public function or op is one of these, whichever name space shows it.
    known = {id(f): m for m, functions in definitions().items() for f in functions.values()}
    for place in (tg, tg.nn.functional):
        for name, value in vars(place).items():
            home = getattr(value, "__module__", "")
            if callable(value) and home.startswith(("tinygrad_fc.ops", "tinygrad_fc.functional")):
                assert id(value) in known or name in NOT_LISTED, name


def test_a_method_is_the_function_of_its_name():
    for name, method in vars(tg.Tensor.__base__).items():
        function = getattr(tg, name, None)
        if name[0] != "_" and callable(function) and name not in METHODS_OF_THEIR_OWN:
            assert method is function or name.endswith("_"), name
