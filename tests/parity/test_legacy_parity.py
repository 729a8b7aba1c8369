"""Forms of old scripts compute what they compute with PyTorch: each runs in both libraries."""

import warnings

import numpy as np
import pytest
import tinygrad_fc.torch as tg
from against_torch import agree

torch = pytest.importorskip("torch")

A = np.random.default_rng(0).uniform(0.5, 2, (3, 4))
V = A[0]
FORMS = """
T.Tensor(2, 3) * 0
T.Tensor(5).shape
T.Tensor(T.zeros(2, 3).size()).shape
T.Tensor(A), T.Tensor([[1, 2], [3, 4]])
T.Tensor(range(3)).type(T.LongTensor)
T.LongTensor([1.5, 2])
T.DoubleTensor(A).type('torch.ByteTensor'), T.DoubleTensor(A).type()
T.tensor(A).new([1, 2]), T.tensor(A).new(2, 1).shape, T.tensor(A).new_tensor([1, 2])
T.tensor(A).byte().char().short()
isinstance(T.tensor(A), T.DoubleTensor), isinstance(T.tensor(A), T.LongTensor)
isinstance(T.tensor(A), T.autograd.Variable)
T.tensor(A).add_(2, T.tensor(V)), T.tensor(A).sub_(0.5, T.tensor(V))
T.add(T.tensor(A), 2, T.tensor(V)), T.tensor(A).sub(-0.5, T.tensor(V))
T.addcmul(T.tensor(A), 2, T.tensor(V), T.tensor(V)), T.tensor(A).addcdiv_(-1, T.ones(4), T.ones(4))
T.nn.functional.softmax(T.tensor(A))
T.nn.functional.log_softmax(T.tensor(V))
T.nn.functional.mse_loss(T.tensor(A), T.tensor(A) * 2, size_average=False)
T.nn.L1Loss(reduce=False)(T.tensor(A), T.tensor(A) * 2)
T.nn.MSELoss(False)(T.tensor(A), T.tensor(A) * 2)
T.tensor([T.ones(1), T.ones(1, 1)]), T.Tensor([[T.ones(1)]])
T.tensor([[T.ones(1), 2.0], (T.tensor(3.0), 4)])
T.tensor([[T.ones(1, requires_grad=True) * 2]])
T.range(1, 4), T.range(0, 1.1, 0.25)
getattr(T, "torch", T)._foreach_mul([T.tensor(A), T.tensor(V)], [2, 3])
T.broadcast_tensors(T.tensor(A), T.tensor(V), T.tensor(2.0))
T.ger(T.tensor(V), T.tensor(V))
T.diagonal(T.tensor(A), 1), T.diagonal(T.tensor(A), -2), T.tensor(A).diagonal()
T.diag_embed(T.tensor(A)), T.diag_embed(T.tensor(A), -1, 0, 2), T.diag(T.tensor(V), 2)
T.take(T.tensor(A), T.tensor([[0, 5], [-1, 2]]))
T.tensor(A).index_fill(1, T.tensor([0, 2]), 7.0)
T.tensor(A).clone().index_fill_(0, T.tensor([1]), 3)
T.promote_types(T.float32, T.int64) == T.float32, T.promote_types(T.uint8, T.int8) == T.int16
T.tensor(A).clone().resize_(2, 3)
T.tensor(A).view_as(T.zeros(4, 3)), T.tensor(A).reshape_as(T.zeros(12))
T.tensor(A)[1].storage_offset(), T.tensor(A).stride(), T.tensor(A).T.stride(1)
T.tensor(A)[1:].storage().tolist() if T is not torch else T.tensor(A).flatten().tolist()
T.is_tensor(T.ones(1)), T.is_tensor(A), T.is_floating_point(T.ones(1)), T.is_complex(T.ones(1))
T.zeros_like(T.tensor(A), memory_format=T.preserve_format)
T.tensor(A).clone(memory_format=T.preserve_format), T.tensor(A).is_sparse
T.multiply(T.tensor(A), 2), T.subtract(T.tensor(A), 2), T.true_divide(T.tensor(A), 2)
T.tensor(A).ndimension(), T.tensor(A).is_cuda, T.sgn(T.tensor(A)).real.H.subtract_(1)
T.randint_like(T.tensor(A), 5, 6, memory_format=T.preserve_format)
T.tensor(A).clone().random_(3, 4)
isinstance(T.nn.Linear(2, 1), (T.nn.Conv2d, T.nn.modules.batchnorm.BatchNorm1d))
T.__version__ < "1.1"
f'{T.tensor(3)}', f'{T.tensor(2.5):.2f}', str(T.tensor(A).shape).replace('torch.', '')
""".strip().splitlines()


@pytest.mark.parametrize("form", FORMS)
def test_a_form_has_the_value_of_pytorch(form: str):
    tg.set_default_dtype(tg.float32)
    torch.set_default_dtype(torch.float32)
    names = {"torch": torch, "A": A, "V": V}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got, want = (eval(form, {"T": T, **names}) for T in (tg, torch))  # noqa: S307
    agree(got, want, 1e-6, typed=False)
