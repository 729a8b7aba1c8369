"""`torch.linalg`'s names: norms, linear equations, determinants and Cholesky's factor."""

from tinygrad_fc.errors import LinAlgError
from tinygrad_fc.functional.linalg import (
    cholesky,
    det,
    inv,
    matrix_norm,
    norm,
    slogdet,
    solve,
    svdvals,
    vector_norm,
)

__all__ = ["LinAlgError", "cholesky", "det", "inv", "matrix_norm", "norm", "slogdet", "solve"]
__all__ += ["svdvals", "vector_norm"]
