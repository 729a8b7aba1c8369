"""All below the ops; no module above is needed to understand it. Read the files in this order.

| file | what |
|---|---|
| `errors` | the errors of the package, checks of arguments |
| `errstate` | calls without floating-point warnings |
| `pytree` | values nested in tuples, lists and dicts |
| `lazy` | names of a package that are imported when they are first used |
| `dtypes` | the dtypes, the default one, and how operands are promoted |
| `grad_mode` | `no_grad` and the other switches of recording |
| `seam` | the calls that traces and profiles observe |
| `device` | NumPy arrays on the CPU, CuPy arrays on a GPU |
| `node` | nodes of the graph, which tensors are; arrays of tensors and of other data |
| `graph` | the recording of calls, changes in place and assignments |
| `backward` | the backward pass |
| `gradients` | the gradients of results that users name |
| `grad_fn` | `grad_fn`, and the handles of hooks, as PyTorch shows them |
| `op_errors` | errors of calls of ops |
| `op` | what an op is; the registry of ops |
| `printing` | tensors as text |
"""
