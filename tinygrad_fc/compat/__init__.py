"""PyTorch's past and its paths: names that scripts use, and that nothing in this package needs.

| file | what |
|---|---|
| `names` | constructors and function names of early PyTorch, such as `FloatTensor` |
| `unsupported` | the table of names that are refused, with the reasons |
| `paths` | the import finder for PyTorch's module paths, such as `nn.modules.module` |
| `amp`, `distributed` | half precision and several processes, without effect or refused |
| `private` | private functions of PyTorch that scripts import |
| `modules` | `tinygrad_fc.nn.modules` |
| `torch` | `from tinygrad_fc import torch`: this package with PyTorch's version |

Only `tinygrad_fc/__init__.py` imports this package.
"""

import sys

from tinygrad_fc import nn, optim
from tinygrad_fc.compat import amp as amp
from tinygrad_fc.compat import distributed as distributed
from tinygrad_fc.compat import modules, paths, unsupported
from tinygrad_fc.compat.amp import autocast as autocast
from tinygrad_fc.compat.amp import is_autocast_enabled as is_autocast_enabled
from tinygrad_fc.compat.names import *
from tinygrad_fc.core.device import cuda
from tinygrad_fc.tensors import Tensor

paths.install()
vars(nn).update(modules=modules, parallel=distributed, DataParallel=distributed.DataParallel)
_PLACES = {"": sys.modules[__name__], "Tensor": Tensor, "distributed": distributed, "nn": nn}
_PLACES |= {"nn.functional": nn.functional, "optim": optim}
for _path, _refused in unsupported.REFUSED.items():
    setattr(_PLACES.get(_path.rpartition(".")[0], unsupported), _refused.__name__, _refused)
cuda.amp = amp  # type: ignore[attr-defined]
