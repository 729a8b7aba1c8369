"""An oracle for kernels: a program evaluated with NumPy, one instruction at a time."""

from typing import Any

import numpy as np

from tinygrad_fc.compiler.ir import GuardFailed, Program, Value
from tinygrad_fc.core.pytree import mapped


def interpret(program: Program, inputs: Any) -> list[Any]:
    """Return the outputs of a program, and change the inputs that it changes.

    Raises `GuardFailed`, before it changes anything, where an expectation fails.
    """
    known = dict(zip(program.inputs, inputs, strict=True))

    def evaluated(leaf: Any) -> Any:
        if not isinstance(leaf, Value):
            return leaf
        return leaf.sample if leaf.is_constant else known[leaf]

    for value in program.instructions:
        args, kwargs = mapped(evaluated, value.args), mapped(evaluated, value.kwargs)
        result = value.function(*args, **kwargs)
        known[value] = np.asarray(result) if value.shape is not None else result
    if any(bool(evaluated(value)) != truth for value, truth in program.expects):
        raise GuardFailed
    outputs = [np.array(evaluated(value)) for value in program.outputs]
    changes = [(known[old], np.array(evaluated(new))) for old, new in program.changes]
    for array, new in changes:
        array[...] = new
    return outputs
