"""A sweep over learning rates and seeds: many small trainings at once, on threads or processes.

Each run fits a small network to a sine. The table has the mean error over the seeds for each
learning rate. A run that fails is reported with its error, and the others go on. The example needs
`pip install -e '.[examples,dask]'`.
"""

import math
from contextlib import nullcontext
from itertools import product
from pathlib import Path

import numpy as np
from rich.console import Console
from terminal import parser, results, whole_number

import tinygrad_fc as tg
from tinygrad_fc import nn, optim
from tinygrad_fc.nn import functional as F

LEARNING_RATES = (0.001, 0.01, 0.1, 1e200)
SEEDS = range(3)


def train(configuration: tuple[float, int, int]) -> float:
    """Return the error of a network after training with a learning rate, a seed and epochs."""
    rate, seed, epochs = configuration
    tg.manual_seed(seed)
    x = tg.linspace(-1, 1, 64).reshape(-1, 1)
    y = tg.sin(x * math.pi)
    model = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    for _ in range(epochs):
        optimizer.zero_grad()
        with np.errstate(all="ignore"):
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"the error is {loss.item()}")
    return float(loss.item())


def main() -> None:
    """Run all configurations and show the error for each learning rate."""
    options = parser("A sweep over learning rates and seeds.", epochs=200)
    options.add_argument(
        "--workers",
        type=whole_number(range(65), such_as=2),
        default=0,
        help="worker processes; 0 for threads of this one (default: %(default)s)",
    )
    chosen = options.parse_args()
    from dask.distributed import Client, LocalCluster

    from tinygrad_fc import parallel

    seeds = [chosen.seed + k for k in SEEDS]
    configurations = [(r, s, chosen.epochs) for r, s in product(LEARNING_RATES, seeds)]
    cluster = (
        LocalCluster(n_workers=chosen.workers, threads_per_worker=1, dashboard_address=":0")
        if chosen.workers
        else nullcontext()
    )
    with cluster, Client(cluster) if chosen.workers else nullcontext() as client:
        runs = parallel.map(train, configurations, client=client, progress=True)
    rows = {}
    for rate in LEARNING_RATES:
        errors = [run.result for run in runs if run.configuration[0] == rate and not run.error]
        failed = [run for run in runs if run.configuration[0] == rate and run.error]
        mean = f"{np.mean(errors):.4f}" if errors else "-"
        place, _, code = failed[0].line.partition(": ") if failed else ("", "", "")
        line = f"{failed[0].error}\n{Path(place).name}: {code}" if failed else ""
        rows[f"{rate:g}"] = (mean, str(len(failed)), line)
    console = Console()
    console.print(results("Learning rates", rows, ("mean error", "failed", "error, and its line")))


if __name__ == "__main__":
    main()
