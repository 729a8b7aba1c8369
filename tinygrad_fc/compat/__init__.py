"""PyTorch's past and its paths: names that scripts use, and that nothing in this package needs.

| file | what |
|---|---|
| `names` | constructors and function names of early PyTorch, such as `FloatTensor` |
| `unsupported` | layers that do not exist here: classes that cannot be constructed |
| `paths` | the import finder for PyTorch's module paths, such as `nn.modules.module` |
| `modules` | `tinygrad_fc.nn.modules` |
| `torch` | `from tinygrad_fc import torch`: this package with PyTorch's version |

Only `tinygrad_fc/__init__.py` imports this package.
"""

from tinygrad_fc import nn
from tinygrad_fc.compat import modules, paths, unsupported
from tinygrad_fc.compat.names import *

paths.install()
vars(nn).update(unsupported.LAYERS, modules=modules)
