"""Names of PyTorch that do not exist here: classes that cannot be constructed, nor called."""

from __future__ import annotations

from typing import Any

from tinygrad_fc.nn.module import Module

REASONS = {
    "this library is for fully connected networks. Use nn.Linear on x.flatten(1), or PyTorch": """
        nn.AdaptiveAvgPool1d nn.AdaptiveAvgPool2d nn.AvgPool1d nn.AvgPool2d nn.BatchNorm2d
        nn.BatchNorm3d nn.Conv1d nn.Conv2d nn.Conv3d nn.ConvTranspose1d nn.ConvTranspose2d
        nn.ConvTranspose3d nn.Dropout2d nn.InstanceNorm2d nn.InstanceNorm3d nn.MaxPool1d
        nn.MaxPool2d nn.Upsample nn.functional.conv2d nn.functional.max_pool2d nn.GRU nn.GRUCell
        nn.LSTM nn.LSTMCell nn.RNN nn.RNNCell nn.utils.rnn.PackedSequence""",
    "it is no layer here. Use nn.functional.scaled_dot_product_attention behind nn.Linear": """
        nn.MultiheadAttention nn.Transformer nn.TransformerDecoder nn.TransformerDecoderLayer
        nn.TransformerEncoder nn.TransformerEncoderLayer""",
    "it is the mean of nn.Embedding. Use nn.Embedding(...)(indices).mean(1)": "nn.EmbeddingBag",
    "tensors are dense. Use a dense one, or scipy.sparse where no gradient is needed": """
        optim.SparseAdam sparse sparse_coo_tensor sparse_csr_tensor Tensor.coalesce
        Tensor.to_sparse""",
    "tensors are real. Use one for each part, or NumPy where no gradient is needed": """
        complex fft polar stft view_as_complex view_as_real""",
    "models are not compiled into files. Save the state_dict": "jit.ScriptModule jit.trace",
    "the process group is not initialised. Ask is_initialized(), or use tinygrad_fc.parallel": """
        distributed.all_gather distributed.all_reduce distributed.barrier distributed.broadcast
        distributed.destroy_process_group distributed.get_backend distributed.get_rank
        distributed.get_world_size distributed.init_process_group distributed.new_group
        distributed.reduce distributed.reduce_scatter distributed.DistributedDataParallel""",
}
"""The names that are refused, by what the error says."""


class _Refusing(type):
    """The class of refused names: an attribute of one raises, and says why."""

    def __getattr__(cls, name: str) -> Any:
        raise AttributeError(f"{cls.path}.{name} does not exist: {cls.reason}")


class Unsupported(Module, metaclass=_Refusing):
    """Base of the names that are refused: `isinstance` is False, and a call raises."""

    path = reason = ""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError(f"{self.path} does not exist: {self.reason}")


REFUSED = {
    path: type(
        path.rpartition(".")[2],
        (Unsupported,),
        {"path": path, "reason": reason, "__module__": __name__},
    )
    for reason, paths in REASONS.items()
    for path in paths.split()
}
globals().update({refused.__name__: refused for refused in REFUSED.values()})


def script(obj: Any, *_: Any) -> Any:
    """Return a function or a module unchanged: `torch.jit.script`, which would compile it."""
    return obj
