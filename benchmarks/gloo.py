"""A step of PyTorch's DistributedDataParallel with gloo; `parallel.py` starts two of these.

    python benchmarks/gloo.py RANK PORT BATCH

runs a step of 784-512-512-10 on half of the batch for each line of input, and prints its seconds.
"""

from __future__ import annotations

import sys
import time

import one_thread  # noqa: F401  before PyTorch
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


def main() -> None:
    """Run steps until the input ends."""
    rank, port, batch = map(int, sys.argv[1:])
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    torch.manual_seed(0)
    layers = [nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)]
    model = DistributedDataParallel(nn.Sequential(*layers))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, y = torch.randn(batch // 2, 784), torch.randint(0, 10, (batch // 2,))
    for _ in sys.stdin:
        started = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        sys.stdout.write(f"{time.perf_counter() - started}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
