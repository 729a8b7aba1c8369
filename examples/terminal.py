"""Command line of the examples: common options, progress bar, table of results."""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn's


def parser(
    description: str, *, epochs: int, output: str | None = None, checkpoint: str | None = None
) -> argparse.ArgumentParser:
    """Return a parser with the options of every example; the arguments are defaults.

    Without `output` there is no picture, without `checkpoint` no saved model.
    """
    options = argparse.ArgumentParser(description=description)
    options.add_argument(
        "--epochs",
        type=whole_number(range(1, 1_000_000), such_as=epochs),
        default=epochs,
        help="passes over the training data (default: %(default)s)",
    )
    options.add_argument(
        "--seed",
        type=whole_number(range(2**32), such_as=1),
        default=0,
        help="start of the random numbers: the same seed, the same result (default: %(default)s)",
    )
    if output is not None:
        picture = options.add_mutually_exclusive_group()
        picture.add_argument("--no-plot", action="store_true", help="draw no picture")
        picture.add_argument(
            "--output",
            type=new_file(".pdf", ".png", ".svg", such_as="picture.png"),
            default=Path(output),
            help="the picture's file (default: %(default)s)",
        )
    if checkpoint is not None:
        options.add_argument(
            "--checkpoint",
            type=new_file(".safetensors", such_as="model.safetensors"),
            default=Path(checkpoint),
            help="the file that the model is saved to (default: %(default)s)",
        )
    return options


def whole_number(allowed: range, *, such_as: int) -> Callable[[str], int]:
    """Return a reader of integers in `allowed`, whose refusals suggest `such_as`."""

    def read(text: str) -> int:
        if text.isdecimal() and int(text) in allowed:
            return int(text)
        raise argparse.ArgumentTypeError(
            f"expected an integer from {allowed[0]} to {allowed[-1]}, got {text!r}; try {such_as}"
        )

    return read


def new_file(*endings: str, such_as: str) -> Callable[[str], Path]:
    """Return a reader that refuses, before any training, a file that could not be written after."""

    def read(text: str) -> Path:
        path = Path(text)
        if path.suffix not in endings:
            listed = " or ".join(filter(None, [", ".join(endings[:-1]), endings[-1]]))
            raise argparse.ArgumentTypeError(
                f"expected a file that ends in {listed}, got {text!r}; try {such_as!r}"
            )
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(
                f"expected a file in a folder that exists, got {text!r}; "
                f"make the folder '{path.parent}' first"
            )
        return path

    return read


def follow(
    training: Iterable[float],
    *,
    epochs: int,
    console: Console,
    done: int = 0,
    what: str = "error",
) -> None:
    """Run `training`, which yields `what` after every epoch, under a progress bar.

    `done` epochs were run before. Training that ends before `epochs` fills the bar all the same.
    """
    bar = Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs, {task.description} {task.fields[now]}"),
        TimeElapsedColumn(),
        TextColumn("<"),
        TimeRemainingColumn(),
        console=console,
    )
    # Products as small as these gain nothing from threads, and wait for them on a busy machine.
    with threadpool_limits(1), bar:
        task = bar.add_task(what, total=epochs, completed=done, now="")
        for now in training:
            bar.update(task, advance=1, now=f"{now:#.4g}")
        bar.update(task, total=bar.tasks[task].completed)


def results(
    title: str, rows: Mapping[str, str | Sequence[str]], columns: Sequence[str] = ()
) -> Table:
    """Lay out the results of an example: a name and a value in each row, or one per column."""
    table = Table(title=title, show_header=bool(columns), title_style="bold")
    table.add_column(style="cyan")
    for name in columns or [""]:
        table.add_column(name, justify="right")
    for name, values in rows.items():
        table.add_row(name, *([values] if isinstance(values, str) else values))
    return table
