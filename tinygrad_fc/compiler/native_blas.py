"""Where NumPy's own BLAS is: the address of its gemm, so that products have NumPy's bits.

The library is loaded already, under the names that builds of NumPy give to its functions. SciPy's
is taken where NumPy shows none, and loops where neither does.
"""

from __future__ import annotations

import ctypes
import importlib
from functools import lru_cache

# Names of cblas_dgemm, with the bits of its whole numbers, in the order of how surely they tell.
_NAMES = (
    ("scipy_cblas_{}gemm64_", 64),
    ("cblas_{}gemm64_", 64),
    ("scipy_cblas_{}gemm", 32),
    ("cblas_{}gemm", 32),
)
_MODULES = ("numpy._core._multiarray_umath", "scipy.linalg.cython_blas")


@lru_cache(1)
def found() -> tuple[int, dict[str, int]] | None:
    """Return the bits of whole numbers, and the addresses of gemm for f4 and f8; None for none."""
    for module in _MODULES:
        try:
            library = ctypes.CDLL(str(importlib.import_module(module).__file__))
        except (ImportError, OSError):
            continue
        for name, bits in _NAMES:
            try:
                both = {
                    kind: ctypes.cast(getattr(library, name.format(letter)), ctypes.c_void_p).value
                    for kind, letter in (("f4", "s"), ("f8", "d"))
                }
            except AttributeError:
                continue
            return bits, {kind: int(address or 0) for kind, address in both.items()}
    return None
