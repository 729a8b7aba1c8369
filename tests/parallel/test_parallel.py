"""Data-parallel gradients in threads: those of one batch, for every loss that separates."""

import itertools
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from parallel import steps
from tinygrad_fc import nn, parallel
from tinygrad_fc.core.errors import DtypeError

LOSSES = (steps.mean, steps.total, steps.batchmean, steps.weighted)
rows = st.lists(st.integers(1, 30), min_size=1, max_size=20)
seeds = st.integers(0, 2**16)


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    """Process chunks in blocks of 7 rows, so that chunks of the tests have several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel.worker, "BLOCK_ROWS", 7)
        yield


def chunked(array: Any, sizes: list[int]) -> Any:
    return da.from_array(array, (tuple(sizes), -1), name=False)


def whole_batch(model: nn.Module, loss_fn: Callable[..., Any], *arrays: Any) -> tuple[float, Any]:
    """Return the loss and the gradients of one batch of all rows."""
    model.zero_grad()
    loss = loss_fn(model, *map(tg.as_tensor, arrays))
    loss = loss[0] if isinstance(loss, tuple) else loss
    loss.backward()
    return loss.item(), steps.gradients(model)


def close(found: list[Any], expected: list[Any]) -> None:
    for g, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-9, atol=1e-12)


@settings(max_examples=30)
@given(seeds, rows, st.sampled_from(LOSSES))
def test_chunks_of_any_sizes_give_the_gradient_of_one_batch(
    seed: int, sizes: list[int], loss_fn: Callable[..., Any]
) -> None:
    sizes = [3, *sizes]
    x, y = steps.data(seed, sum(sizes))
    y[:3] = np.eye(3)  # the rows of a chunk may all be ignored, but not all rows
    model, chunks = steps.network(seed), chunked(x, sizes)
    options = {"reduction": "sum" if loss_fn is steps.total else "mean"}
    expected, gradients = whole_batch(model, loss_fn, x, y)
    model.zero_grad()
    for count in (1, 2):  # gradients accumulate
        with np.errstate(invalid="ignore"), warnings.catch_warnings(action="ignore"):
            loss = parallel.backward(model, loss_fn, chunks, y, **options)
        np.testing.assert_allclose(loss.item(), expected, rtol=1e-9)
        close(steps.gradients(model), [count * g for g in gradients])


@settings(max_examples=10)
@given(seeds, rows, st.sampled_from((nn.BatchNorm1d(5), nn.Tanh())))
def test_neither_threads_nor_numpys_programs_change_a_bit(
    seed: int, sizes: list[int], layer: nn.Module
) -> None:
    sizes = [n + 1 for n in sizes]  # batch norm takes no single row
    x, y = steps.data(seed, sum(sizes))
    bits = set()
    for workers, compiled in itertools.product((1, 2, 4), (False, "numpy")):
        model = steps.network(seed, pickle.loads(pickle.dumps(layer)), nn.Dropout(0.5))
        with dask.config.set(num_workers=workers):
            loss = parallel.backward(model, steps.mean, chunked(x, sizes), y, compiled=compiled)
        bits.add((loss.numpy().tobytes(), *steps.state(model)))
    assert len(bits) == 1


def test_a_model_in_a_closure_is_the_one_that_is_trained() -> None:
    model, (x, y) = steps.network(0), steps.data(0, 8)
    _, gradients = whole_batch(model, steps.mean, x, y)
    model.zero_grad()
    parallel.backward(model, lambda _, x, y: steps.mean(model, x, y), x, y, chunk_rows=3)
    close(steps.gradients(model), gradients)


@settings(max_examples=10)
@given(rows, st.integers(1, 9), st.booleans())
def test_chunks_smaller_than_the_parameters_are_joined(
    sizes: list[int], groups: int, check: bool
) -> None:
    x, y = steps.data(0, sum(sizes))
    model = nn.Sequential(nn.Linear(4, 100), nn.Linear(100, 3))
    steps.counts.clear()
    expected, gradients = whole_batch(model, steps.mean, x, y)
    model.zero_grad()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel.worker, "BLOCK_ROWS", 1000)
        loss = parallel.backward(
            model, steps.counted, chunked(x, sizes), y, groups=groups, check=check
        )
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-9)
    close(steps.gradients(model), gradients)
    assert sum(steps.counts) == len(x)
    assert len(steps.counts) <= 2 * groups if check else len(steps.counts) == len(sizes)


def test_random_numbers_differ_between_chunks() -> None:
    model = steps.network(0, nn.Dropout(0.5))
    x, y = np.ones((8, 4)), np.ones((8, 3))
    a = parallel.backward(model, steps.mean, x, y, chunk_rows=4)
    b = parallel.backward(model, steps.mean, x[:4], y[:4], chunk_rows=4)
    assert a.item() != b.item()


def test_batch_norm_takes_the_statistics_of_each_chunk() -> None:
    x, y = steps.data(1, 30)
    model, alone = (steps.network(3, nn.BatchNorm1d(5)) for _ in range(2))
    parallel.backward(model, steps.mean, x, y, chunk_rows=10)
    gradients, means = [], []
    for start in range(0, 30, 10):
        copy = pickle.loads(pickle.dumps(alone))
        rows = slice(start, start + 10)
        gradients.append(whole_batch(copy, steps.mean, x[rows], y[rows])[1])
        means.append(copy[2].running_mean.numpy())
    close(steps.gradients(model), [np.mean(g, axis=0) for g in zip(*gradients, strict=True)])
    np.testing.assert_allclose(model[2].running_mean.numpy(), np.mean(means, axis=0))
    assert model[2].num_batches_tracked.item() == 1


def test_frozen_and_unused_parameters_stay_without_gradient() -> None:
    used, frozen, unused = model = nn.ModuleList(nn.Linear(4, 4) for _ in range(3)).float()
    frozen.requires_grad_(requires_grad=False)
    before, (x, _) = frozen.weight.numpy().copy(), steps.data(0, 9)
    x = x.astype(np.float32)
    parallel.backward(model, lambda m, x: m[1](m[0](x)).mean(), x, chunk_rows=2)
    assert used.weight.grad.dtype == tg.float32
    assert frozen.weight.grad is unused.weight.grad is None
    assert np.array_equal(frozen.weight.numpy(), before)


def test_what_holds_the_data_does_not_matter(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="reads Zarr arrays")
    x, y = steps.data(5, 50)
    np.save(tmp_path / "before.npy", x)
    changed = np.load(tmp_path / "before.npy", mmap_mode="c")
    changed[1] = x[1] = 0.5  # in memory, not in the file
    opened = []
    for order in ("C", "F"):
        np.save(tmp_path / f"{order}.npy", np.asarray(x, order=order))
        opened.append(np.load(tmp_path / f"{order}.npy", mmap_mode="r"))
    stored = zarr.create_array(str(tmp_path / "y.zarr"), shape=y.shape, chunks=(7, 3), dtype="f8")
    stored[:] = y
    results = []
    for a in (x, tg.tensor(x), *opened, opened[0][:], changed, chunked(x, [20, 30])):
        model = steps.network(5)
        parallel.backward(model, steps.mean, a, stored, chunk_rows=20)
        results.append(steps.state(model))
    assert all(gradients == results[0] for gradients in results)
    assert [len(r) for r in parallel.data.columns((stored, x), None)[1][0]] == [7] * 7 + [1]


@pytest.mark.parametrize(
    ("loss_fn", "reduction", "match"),
    [
        (steps.over_the_batch, "mean", "does not separate over rows"),
        (steps.over_the_batch, "sum", "does not separate over rows"),
        (steps.mean, "sum", "Pass reduction='mean'"),
        (steps.total, "mean", "Pass reduction='sum'"),
    ],
)
def test_a_loss_that_does_not_separate_is_refused(
    loss_fn: Callable[..., Any], reduction: str, match: str
) -> None:
    model, (x, y) = steps.network(0), steps.data(0, 40)
    with pytest.raises(parallel.ChunkError, match=match):
        parallel.backward(model, loss_fn, x, y, reduction=reduction, chunk_rows=20)
    assert not steps.gradients(model)
    parallel.backward(model, loss_fn, x, y, reduction=reduction, check=False, chunk_rows=20)
    gradients, total = steps.gradients(model), getattr(np, reduction)
    chunks = [whole_batch(model, loss_fn, x[k : k + 20], y[k : k + 20])[1] for k in (0, 20)]
    close(gradients, [total(g, axis=0) for g in zip(*chunks, strict=True)])


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm1d(5)])
def test_dropout_and_batch_norm_separate_in_the_check(layer: nn.Module) -> None:
    model, (x, y) = steps.network(0, layer), steps.data(0, 100)
    layer.train()
    for loss_fn in (steps.total, steps.total_of_noisy_rows):
        with pytest.raises(parallel.ChunkError, match=r"Pass reduction='sum'\. .*unchanged"):
            parallel.backward(model, loss_fn, x, y, chunk_rows=30)
    assert not steps.gradients(model)
    for loss_fn in (steps.mean, steps.of_noisy_rows):
        parallel.backward(model, loss_fn, x, y, chunk_rows=30)
    with pytest.raises(parallel.ChunkError, match="does not separate over rows"):
        parallel.backward(steps.network(0, steps.Centred()), steps.mean, x, y, chunk_rows=30)


@pytest.mark.parametrize("loss_fn", [steps.ignoring, steps.class_weighted])
@pytest.mark.parametrize("counts", [(500, 100, 400), (2999, 0, 1), (1499, 1500, 1)])
@pytest.mark.parametrize("chunk_rows", [40, 300, 500])
def test_weights_of_rows_are_refused_wherever_they_differ(
    loss_fn: Any, chunk_rows: int, counts: Any
) -> None:
    labels = np.repeat([0, 1, 2], counts)
    model, (x, _) = steps.network(0), steps.data(0, len(labels))
    even = np.zeros(len(labels), int)
    parallel.backward(model, loss_fn, x, even, chunk_rows=chunk_rows)  # here all weigh the same
    before = steps.state(model)
    pattern = (
        r"(does not separate over|If no) row.*cross_entropy\(x, y, w, ignore_index=i\), w\[y\["
    )
    for call in (parallel.backward, parallel.evaluate):
        with pytest.raises(parallel.ChunkError, match=pattern):
            call(model, loss_fn, x, labels, chunk_rows=chunk_rows)
    assert steps.state(model) == before


def _nan(x: Any) -> Any:
    x = x.copy()
    x[25, 1] = np.nan
    return x


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda x, y: (_nan(x), y), parallel.ChunkError, r"rows 20:30: .*loss is nan"),
        (lambda x, y: (x[:, :3], y), parallel.ChunkError, r"(?s)rows .*in_features.*3"),
        (lambda x, y: (x[:39], y), ValueError, r"same number of rows.*\(39, 4\), \(40, 3\)"),
        (lambda x, y: (x[:0], y[:0]), ValueError, "at least one row"),
        (lambda x, y: (chunked(x, [20, 0, 20]), y), ValueError, "at least one row in each chunk"),
        (lambda x, y: (list(x), list(y)), ValueError, "got shapes"),
        (lambda x, y: (chunked(x, [40])[da.from_array(x)[:, 0] > 0], y), ValueError, "rows"),
    ],
)
def test_wrong_data_change_nothing(
    change: Callable[..., Any], error: type[Exception], match: str
) -> None:
    model = steps.network(0, nn.BatchNorm1d(5))
    before = steps.state(model)
    x, y = change(*steps.data(0, 40))
    with pytest.raises(error, match=match):
        parallel.backward(model, steps.mean, x, y, chunk_rows=None if hasattr(x, "dask") else 10)
    assert steps.state(model) == before  # and no gradients


@pytest.mark.parametrize(
    ("loss_fn", "match"),
    [
        (lambda m, x, y: m(x) - y, r"returned \(4, 3\); expected shape \(\)"),
        (lambda *_: None, r"returned None; .*\(\)\. Parameters and"),
        (lambda *_: tg.ones(1, requires_grad=True).sum(), "use the model that loss_fn gets"),
        (lambda m, x, y: (steps.mean(m, x, y), 0), r"weights of all rows add up to 0"),
    ],
)
def test_a_wrong_loss_is_told_what_is_expected(loss_fn: Callable[..., Any], match: str) -> None:
    model, data = steps.network(0), steps.data(0, 4)
    with pytest.raises(parallel.ChunkError, match=match):
        parallel.backward(model, loss_fn, *data, check=False)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"chunk_rows": 0}, ValueError, "chunk_rows"),
        ({"reduction": "none"}, ValueError, "'mean' or 'sum', got 'none'"),
        ({"timeout": -1}, ValueError, "seconds above 0, got -1"),
        ({"client": "tcp://host:8786"}, TypeError, r"got 'tcp://host:8786': Client\(address\)"),
    ],
)
def test_invalid_settings_are_refused(options: Any, error: type[Exception], match: str) -> None:
    model, (x, y) = steps.network(0), steps.data(0, 4)
    with pytest.raises(error, match=match):
        parallel.backward(model, steps.mean, x, y, **options)
    if not options.keys() & {"chunk_rows", "reduction"}:
        with pytest.raises(error, match=match):
            parallel.map(abs, [1], **options)


def test_a_sweep_stores_results_as_they_come(tmp_path: Path) -> None:
    calls = []

    def train(n: int) -> Any:
        calls.append(n)
        if n < 0:
            sys.exit("wrong")
        return [object] if n == 9 else n * n

    with dask.config.set(num_workers=1):
        runs = parallel.map(train, [1, -1, 9], folder=tmp_path)
    assert [run.result for run in runs] == [1, None, [object]]
    assert "wrong" in str(runs[1].error)
    assert "cannot save ['result'][0]" in str(runs[2].error)
    calls.clear()
    assert [run.result for run in parallel.map(train, [-2, 1, 2], folder=tmp_path)] == [None, 1, 4]
    assert sorted(calls) == [-2, 2]


LAZY: Any = da.ones((4, 3))
COLUMN: Any = da.zeros(4, dtype=int)
REFUSALS: dict[str, Callable[[Any], Any]] = {
    "tensor": lambda _: tg.tensor(LAZY),
    "tensor of list": lambda _: tg.tensor([LAZY, LAZY]),
    "t + x": lambda t: t + LAZY,
    "x + t": lambda t: LAZY + t,
    "stack": lambda t: tg.stack([t, LAZY]),
    "where": lambda t: tg.where(LAZY > 0, t, 0.0),
    "np.multiply(x, t)": lambda t: np.multiply(LAZY, t),
    "target": lambda t: nn.functional.mse_loss(t, LAZY),
    "labels": lambda t: nn.functional.cross_entropy(t, COLUMN),
    "add_": lambda t: t.add_(LAZY),
    "clamp_": lambda t: t.clamp_(min=LAZY),
    "x[i]": lambda t: t[COLUMN],
    "x[i] = y": lambda t: t.__setitem__(0, LAZY[0]),
    "x[mask] = y": lambda t: t.__setitem__(LAZY > 0, 1.0),
}


@pytest.mark.parametrize("call", REFUSALS)
def test_dask_arrays_are_refused_and_not_computed(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(da.Array, "compute", lambda *_, **__: pytest.fail("computed silently"))
    for t in (tg.ones(4, 3), tg.ones(4, 3, requires_grad=True) * 1):
        with pytest.raises(DtypeError, match=r"Dask array.*parallel\.backward"):
            REFUSALS[call](t)


@settings(max_examples=20)
@given(seeds, rows, st.integers(1, 40), st.integers(1, 4), st.booleans())
def test_batches_of_an_epoch_hold_each_row_once(
    seed: int, sizes: list[int], batch_size: int, window: int, drop_last: bool
) -> None:
    count = sum(sizes)
    x = np.arange(float(count))
    options = {"batch_size": batch_size, "window": window, "drop_last": drop_last}
    loader = parallel.batches(chunked(x[:, None], sizes), -x, seed=seed, **options)
    epochs = []
    for k in range(2):
        seen = [[np.asarray(a) for a in batch] for batch in loader]
        assert len(seen) == len(loader)
        assert loader.state_dict().items() >= {"seed": seed, "epoch": k + 1, "position": 0}.items()
        assert all(np.array_equal(a[:, 0], -b) for a, b in seen)
        assert {len(b) for _, b in seen[:-1]} <= {batch_size}
        epochs.append(np.concatenate([b for _, b in seen] or [x[:0]]))
        assert len(set(epochs[-1])) == (count - count % batch_size if drop_last else count)
    assert count < 20 or drop_last or not np.array_equal(*epochs)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("seed", 4), ("batch_size", 21), ("window", 3), ("drop_last", True), ("rows", 82)),
        *(("chunks", 8), ("epoch", -1), ("epoch", None)),
        *(("position", 6), ("position", -1), ("position", 0.5)),
    ],
)
def test_a_state_of_other_batches_is_refused(name: str, value: Any) -> None:
    def loader(rows: int = 83, chunks: int = 9, **settings: Any) -> Any:
        settings = {"batch_size": 20, "seed": 3} | settings
        return parallel.batches(*steps.data(0, rows), chunk_rows=chunks, **settings)

    state, change = loader().state_dict(), {name: value}
    if name in ("epoch", "position"):
        state, change = state | change, {}
    other = loader(**change)
    before = other.state_dict()
    with pytest.raises(ValueError, match=f"state has {name}|{name} {value} "):
        other.load_state_dict(state)
    assert other.state_dict() == before
    other.load_state_dict(before | {"position": len(other)})
    assert not list(other)
    assert other.epoch == 1


def test_evaluation_is_the_mean_over_all_rows_in_evaluation_mode() -> None:
    model, (x, y) = steps.network(0, nn.Dropout(0.5), nn.BatchNorm1d(5)), steps.data(0, 50)
    before = model[3].num_batches_tracked.item()
    found = parallel.evaluate(model, steps.mean, x, y, chunk_rows=7)
    assert model.training
    assert model[3].num_batches_tracked.item() == before
    np.testing.assert_allclose(found, steps.mean(model.eval(), *map(tg.tensor, (x, y))).item())
    assert not steps.gradients(model)


def test_a_seed_of_a_run_is_its_own() -> None:
    def draw(seed: int) -> float:
        tg.manual_seed(seed)
        return tg.rand(1).item() + tg.nn.Linear(1, 1).weight.item()

    expected = [draw(seed) for seed in range(8)]
    for workers in (1, 4):
        with dask.config.set(num_workers=workers):
            runs = parallel.map(draw, range(8))
        assert [run.result for run in runs] == expected
