"""What is told of PyTorch's names that are not here, and what there is instead.

Of modules only, whose `__getattr__` is asked for nothing but missing names: one in a class slows
down every attribute of its objects.
"""

from __future__ import annotations

import re

_WHY = "as the library is for fully connected networks"
_TOLD = {
    r"conv|pool|fold$|pad\d?d?$|upsample|interpolate|pixel|grid_sample": (
        f"layers for images are not there, {_WHY}: make each image a row, with Flatten(), for "
        "Linear layers, or take PyTorch"
    ),
    r"rnn|lstm|gru": (
        f"recurrent layers are not there, {_WHY}: make each sequence a row, with Flatten(), for "
        "Linear layers, or take PyTorch"
    ),
    "transformer|attention": f"attention is not there, {_WHY}: take PyTorch for it",
    r"(batch|instance)_?norm[23]d|syncbatchnorm": (
        "rows are what layers take here: BatchNorm1d and InstanceNorm1d are there"
    ),
    r"dropout[123]d|feature.*dropout": "rows are what layers take here: Dropout is there",
    "^lazy": "layers need their sizes when they are made: Linear(in_features, out_features)",
    "cuda|mps$|xpu|backends|accelerator|amp$|autocast|distributed|parallel|default_device": (
        "arrays are NumPy's and live on the CPU, used by one process: leave this out"
    ),
    "jit|fx$|dynamo|onnx": "compile(step) makes a program of a function here",
    "vmap": "operations take axes for batches in front: broadcast over them",
    "sparse|quanti[sz]|nested": "tensors are dense arrays of NumPy's here",
    "complex|cfloat|cdouble|fft": "tensors are of real numbers here: keep the two parts apart",
    "bfloat16|float8": "dtypes are NumPy's here: float16, float32 and float64 are there",
}


def absent(module: str, name: str) -> AttributeError:
    """Return the error for a name that a module has not; it says why where PyTorch has it."""
    message = f"module {module!r} has no attribute {name!r}"
    for pattern, told in _TOLD.items():
        if name[:1] != "_" and re.search(pattern, name, re.IGNORECASE):
            return AttributeError(f"{message}: {told}")
    return AttributeError(message)
