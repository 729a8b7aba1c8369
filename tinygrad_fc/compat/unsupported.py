"""Layers of PyTorch that do not exist here: names for `isinstance`, which cannot be constructed."""

from __future__ import annotations

from typing import Any

from tinygrad_fc.nn.module import Module

_NAMES = """AdaptiveAvgPool1d AdaptiveAvgPool2d AvgPool1d AvgPool2d BatchNorm2d BatchNorm3d Conv1d
Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d Dropout2d EmbeddingBag GRU GRUCell
InstanceNorm2d InstanceNorm3d LSTM LSTMCell MaxPool1d MaxPool2d MultiheadAttention RNN RNNCell
Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer
Upsample"""


class Unsupported(Module):
    """Base of layers of PyTorch that are not part of this library; their constructors raise."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError(
            f"nn.{type(self).__name__} does not exist: this library is for fully connected "
            "networks, without convolutional, recurrent and attention layers. Use nn.Linear on "
            "x.flatten(1), or PyTorch"
        )


LAYERS = {name: type(name, (Unsupported,), {"__module__": __name__}) for name in _NAMES.split()}
globals().update(LAYERS)


class PackedSequence(Unsupported):
    """A batch of sequences of `torch.nn.utils.rnn`, of which there are none."""


class ScriptModule(Unsupported):
    """A compiled model of `torch.jit`, of which there are none."""


def script(obj: Any, *_: Any) -> Any:
    """Return a function or a module unchanged: `torch.jit.script`, which would compile it."""
    return obj
