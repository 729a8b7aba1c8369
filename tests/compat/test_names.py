"""Constructors, argument forms and names of scripts for early versions of PyTorch."""

import importlib
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pkgutil import resolve_name
from threading import Event
from time import sleep
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg
from tests.drawing import arrays, same
from tinygrad_fc import nn
from tinygrad_fc.autograd import profiler
from tinygrad_fc.compat import unsupported
from tinygrad_fc.utils.benchmark import Timer
from tinygrad_fc.utils.data import DataLoader, RandomSampler

F = nn.functional


@given(arrays((2, 3)))
def test_data_are_copied_and_cast(a: Any):
    for data in (a, a.tolist(), tg.tensor(a), [tg.tensor(row) for row in a]):
        for kind, dtype in ((tg.FloatTensor, "f4"), (tg.LongTensor, "i8"), (tg.Tensor, "f8")):
            same(kind(data), a.astype(dtype))
        assert not np.shares_memory(tg.Tensor(data).numpy(), a)
    assert isinstance(tg.FloatTensor(2, 3).resize_(7), tg.FloatTensor)
    assert tg.Tensor(tg.zeros(2, 3).size()).shape == (2, 3)
    assert tg.ones(1, dtype=tg.float32).new_tensor(a.tolist()).dtype == tg.float32
    for wrong in ((2.5,), (None,), (True,), ([1.0], 2), (tg.ones(1), tg.ones(2))):
        with pytest.raises(TypeError, match=r"constructed from sizes|must be integers"):
            tg.Tensor(*wrong)


def test_size_average_and_reduce_warn():  # tests/parity compares their values
    x, y = tg.rand(4, 3), tg.rand(4, 3)
    for old, reduction in (
        ({"size_average": False}, "sum"),
        ({"size_average": True}, "mean"),
        ({"reduce": False}, "none"),
    ):
        with pytest.warns(UserWarning, match=f"reduction='{reduction}'"):
            assert F.kl_div(x, y, **old).tolist() == F.kl_div(x, y, reduction=reduction).tolist()
        with pytest.warns(UserWarning, match="size_average"):
            assert nn.MSELoss(**old).reduction == reduction
    with pytest.warns(UserWarning, match="size_average"):
        assert nn.L1Loss(False).reduction == "sum"  # type: ignore[arg-type]  # noqa: FBT003


def test_module_paths_and_layers_that_do_not_exist():
    import tinygrad_fc.backends.cudnn as cudnn  # noqa: PLC0415, PLR0402  the scripts' statement
    import tinygrad_fc.nn.modules.batchnorm as batchnorm  # noqa: PLC0415, PLR0402
    from tinygrad_fc.autograd.variable import Variable  # noqa: PLC0415
    from tinygrad_fc.nn.modules.module import Module  # noqa: PLC0415
    from tinygrad_fc.optim.adam import Adam  # noqa: PLC0415

    from tinygrad_fc.optim.lr_scheduler import _LRScheduler  # noqa: PLC0415

    cudnn.benchmark = True
    assert Module is nn.Module
    assert batchnorm.BatchNorm1d is nn.BatchNorm1d
    assert Adam is tg.optim.Adam
    assert issubclass(tg.optim.lr_scheduler.StepLR, _LRScheduler)
    assert isinstance(tg.ones(2), Variable)
    assert not isinstance(nn.Linear(1, 1), nn.Conv2d | nn.LSTM)  # type: ignore[attr-defined]
    for path, refused in unsupported.REFUSED.items():
        assert resolve_name(f"tinygrad_fc.{path}") is refused
        with pytest.raises(NotImplementedError, match=rf"^{path} does not exist: .{{30}}"):
            refused(1, 2)
    with pytest.raises(NotImplementedError, match=r"to_sparse does not .*: tensors are dense"):
        tg.ones(2).to_sparse()  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"fft.rfft does not exist: tensors are real"):
        importlib.import_module("tinygrad_fc.torch.fft").rfft(tg.ones(2))
    assert tg.torch.jit.script(nn.Linear).__name__ == "Linear"  # type: ignore[attr-defined]
    tg.cuda.manual_seed_all(0)


def test_a_leaf_is_found_through_grad_fn():
    w = tg.ones(2, requires_grad=True)
    node = (w * 2).sum().grad_fn
    assert node is not None
    multiply = node.next_functions[0][0]
    assert multiply.next_functions[0][0].variable is w  # type: ignore[union-attr]
    with pytest.raises(AttributeError, match="only leaves"):
        _ = multiply.variable  # type: ignore[union-attr]
    with pytest.warns(UserWarning, match="volatile has no effect"):
        assert not tg.autograd.Variable(w, volatile=True).requires_grad


def test_random_fills_in_place():
    x = tg.empty(1000)
    assert set(x.random_(2, 5).tolist()) == {2, 3, 4}
    assert set(x.random_(2).tolist()) == set(x.bernoulli_(0.5).tolist()) == {0, 1}
    assert x.bernoulli_(tg.zeros(1000)).sum() == 0
    assert abs(x.exponential_(2.0).mean().item() - 0.5) < 0.1
    assert x.random_().max() > 1e9
    for fill, low, high in (
        (lambda: x.uniform_(-2, -1), -2, -1),
        (lambda: x.uniform_(to=0.5), 0, 0.5),
        (lambda: x.normal_(5, 0), 5, 5),
    ):
        assert ((fill() >= low) & (x <= high)).all()
    with pytest.raises(TypeError):
        x.uniform_(0, 1, 2)


@pytest.mark.parametrize("replacement", [False, True])
def test_long_epochs_are_drawn_in_parts(replacement: bool):
    sampler = RandomSampler(range(3), replacement, num_samples=10**10)
    assert len(sampler) == 10**10
    drawn = list(islice(sampler, 9))
    assert set(drawn) <= {0, 1, 2}
    if not replacement:
        assert all(sorted(drawn[k : k + 3]) == [0, 1, 2] for k in (0, 3, 6))
    assert len(next(iter(DataLoader(range(3), batch_size=4, sampler=sampler)))) == 4


def test_a_profile_counts_ops():
    w = tg.ones(3, requires_grad=True)
    with profiler.profile() as prof:
        for _ in range(5):
            with profiler.record_function("step"):
                (w.exp() @ w).backward()
        with pytest.raises(RuntimeError, match="runs already"), profiler.profile():
            pass
    counts = {event.key: event.count for event in prof.key_averages()}
    assert (counts["step"], counts["exp"], counts["exp backward"], counts["matmul"]) == (5,) * 4
    step = next(event for event in prof.key_averages() if event.key == "step")
    assert 0 < step.self_cpu_time_total < step.cpu_time_total <= prof.self_cpu_time_total * 1.001
    header = ["Name", "Self CPU %", "Self CPU", "CPU total", "CPU time", "Calls"]
    assert re.split("  +", str(prof).splitlines()[0].strip()) == header
    w.exp()
    assert {event.key: event.count for event in prof.key_averages()} == counts


def test_a_profile_measures_its_own_thread():
    entered, left = Event(), Event()

    def other() -> None:
        with profiler.record_function("other"):
            entered.set()
            left.wait(10)
        with profiler.profile() as own:
            tg.ones(2).exp()
        assert [event.key for event in own.key_averages()] == ["exp"]

    with profiler.profile() as prof, ThreadPoolExecutor(1) as pool:
        done = pool.submit(other)
        with profiler.record_function("step"):
            entered.wait(10)
            with profiler.record_function("part"):
                sleep(0.01)
            left.set()
        done.result()
    times = {event.key: event.self_cpu_time_total for event in prof.key_averages()}
    assert times.keys() == {"step", "part"}
    assert min(times.values()) > 0


def test_a_timer_measures():
    timer = Timer("w.exp()", globals={"w": tg.ones(3)}, label="exp")
    assert 0 < timer.timeit(10).mean < 1
    assert str(timer.blocked_autorange(min_run_time=0.01)).startswith("exp\n")


@given(st.booleans(), st.booleans())
def test_half_precision_has_no_effect(enabled: bool, as_decorator: bool):
    from tinygrad_fc.cuda.amp import GradScaler, autocast  # type: ignore[import-not-found]  # noqa: PLC0415

    w = nn.Parameter(tg.tensor([1.0, -2.0]))
    context = autocast(enabled=enabled)
    if as_decorator:
        loss = context((w * w).sum)()
    else:
        with context, tg.amp.autocast("cuda", dtype=tg.bfloat16):
            loss = (w * w).sum()
    scaler, optimizer = GradScaler(enabled=enabled), tg.optim.SGD([w], lr=0.25, foreach=True)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    scaler.load_state_dict(scaler.state_dict())
    assert w.tolist() == [0.5, -1.0]
    assert not tg.is_autocast_enabled()
    assert not scaler.is_enabled()
    assert scaler.get_scale() == 1


def test_bfloat16_is_a_name_that_is_refused():
    assert isinstance(tg.float32, tg.dtype)
    assert tg.ones(1).dtype != tg.bfloat16
    calls = (
        lambda: tg.ones(2, dtype=tg.bfloat16),
        lambda: tg.tensor([1.0], dtype=tg.bfloat16),
        lambda: tg.ones(2).to(tg.bfloat16),
        lambda: tg.ones(2).bfloat16(),
        lambda: nn.Linear(2, 1).to(tg.bfloat16),
        lambda: nn.Linear(2, 1, dtype=tg.bfloat16),
        lambda: tg.set_default_dtype(tg.bfloat16),
    )
    for call in calls:
        # NumPy 2.0 replaces the message, "there are no tensors of bfloat16", by its own.
        with pytest.raises(TypeError, match="bfloat16"):
            call()


def test_one_process_on_one_device():
    model = nn.Linear(2, 1)
    parallel = nn.DataParallel(model, device_ids=[0])  # type: ignore[attr-defined]
    x = tg.rand(3, 2)
    same(parallel(x), model(x).detach().numpy())
    assert list(parallel.state_dict()) == ["module.weight", "module.bias"]
    assert not tg.distributed.is_available()
    assert not tg.distributed.is_initialized()
    with pytest.raises(RuntimeError, match="process group is not initialised"):
        tg.distributed.get_rank()  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match=r"all_gather does not exist: the process"):
        importlib.import_module("tinygrad_fc.torch.distributed.nn").all_gather([x])
    with pytest.raises(RuntimeError, match=r"or use tinygrad_fc\.parallel"):
        nn.parallel.DistributedDataParallel(model)  # type: ignore[attr-defined]
    tg.set_num_threads(2)


def test_options_for_other_devices_are_accepted():
    loader = DataLoader(
        tg.arange(4), 2, worker_init_fn=print, persistent_workers=True, prefetch_factor=2, timeout=1
    )
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3]]
    w = nn.Parameter(tg.ones(1))
    for kind in (tg.optim.SGD, tg.optim.Adam, tg.optim.AdamW, tg.optim.RMSprop):
        kind([w], lr=0.1, foreach=False, fused=True, capturable=False, differentiable=False)
    with pytest.raises(TypeError, match="other"):
        tg.optim.SGD([w], lr=0.1, other=1)  # type: ignore[call-arg]
    (gradient,) = tg.autograd.grad((w * 3).sum(), (p for p in [w]))
    assert gradient.tolist() == [3]
    assert nn.Linear(tg.tensor(2), np.int64(3)).weight.shape == (3, 2)  # type: ignore[arg-type]
    for wrong in (True, 2.0, tg.tensor(2.0), "2"):
        with pytest.raises((ValueError, TypeError)):
            nn.Linear(wrong, 1)  # type: ignore[arg-type]


def test_private_functions_of_pytorch():
    from tinygrad_fc.nn.modules.utils import _pair, _triple  # noqa: PLC0415

    assert (_pair(3), _triple((1, 2, 3)), _pair([4, 5])) == ((3, 3), (1, 2, 3), (4, 5))


def test_memory_of_other_shapes():
    x = tg.arange(6.0)
    window = x.as_strided((3, 2), (2, 1))
    window[0, 1] = 9.0
    assert x.tolist() == [0, 9, 2, 3, 4, 5]
    assert x[2:].as_strided((2,), (1,), 0).tolist() == [0, 9]
    assert tg.zeros(4).resize_as_(tg.ones(2, 1)).shape == (2, 1)
    assert (x.get_device(), x.is_mps) == (-1, False)
    for wrong in (((7,), (1,)), ((2,), (-1,)), ((2,), (1, 1))):
        for t in (x, x.clone().requires_grad_()):
            with pytest.raises(ValueError, match="as_strided"):
                t.as_strided(*wrong)
    y = (x * 1.0).requires_grad_()
    with pytest.raises(ValueError, match="contiguous"):
        y.reshape(2, 3).T.as_strided((2,), (1,))


@given(st.integers(0, 2**32), st.booleans())
def test_a_fork_of_the_generator_leaves_its_state(seed: int, enabled: bool):
    tg.manual_seed(seed)
    with tg.random.fork_rng(devices=[], enabled=enabled):
        inside = tg.rand(3)
    assert (tg.rand(3).tolist() == inside.tolist()) == enabled


def test_a_condition_of_bytes_is_accepted_as_in_early_scripts():
    x = tg.tensor([0.5, -1.0])
    assert tg.where((x > 0).to(tg.uint8), x, -x).tolist() == [0.5, 1.0]
