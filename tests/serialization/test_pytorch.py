"""Files of PyTorch are read without running code, and nothing outside of their memory is read."""

import io
import pickle
import zipfile
from collections import OrderedDict
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_fc as tg
from tinygrad_fc.serialization import FormatError

torch = pytest.importorskip("torch")
DTYPES = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")


def file_of(obj: Any) -> bytes:
    file = io.BytesIO()
    torch.save(obj, file)
    return file.getvalue()


def read(content: bytes) -> Any:
    return tg.load(io.BytesIO(content))


@given(
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 3), max_size=3),
    st.permutations(range(3)),
    st.integers(0, 2),
)
@settings(max_examples=60)
def test_tensors_of_any_layout(dtype: str, shape: list[int], order: Any, start: int):
    numbers = torch.arange(200).to(getattr(torch, dtype))[start:][: int(np.prod(shape))]
    axes = [k for k in order if k < len(shape)]
    x = numbers.reshape(shape).permute(axes) if shape else numbers.reshape(())
    loaded = read(file_of([x, x[..., :1] if shape else x, {"a": (x, 2.5, "text", None)}]))
    for got, wanted in ((loaded[0], x), (loaded[2]["a"][0], x)):
        assert got.dtype == getattr(tg, dtype)
        np.testing.assert_array_equal(got.numpy(), wanted.numpy())
    assert loaded[2]["a"][1:] == (2.5, "text", None)


def test_models_and_optimizers_continue():
    rng, x = np.random.default_rng(0), np.random.default_rng(1).normal(size=(5, 3))

    def trained(t: Any, state: Any = None, steps: int = 3) -> Any:
        layers = t.nn.Linear(3, 4), t.nn.BatchNorm1d(4), t.nn.Linear(4, 1)
        model = t.nn.Sequential(*layers).to(t.float64)
        optimizer = t.optim.Adam(model.parameters(), lr=0.1, amsgrad=True)
        if state is None:
            with t.no_grad():
                for p in model.parameters():
                    p.copy_(t.tensor(rng.normal(size=tuple(p.shape))))
        else:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
        for _ in range(steps):
            optimizer.zero_grad()
            model(t.tensor(x)).square().sum().backward()
            optimizer.step()
        return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}

    saved = trained(torch)
    loaded = read(file_of(saved))
    assert loaded["epoch"] == 3
    assert type(loaded["model"]) is OrderedDict
    assert loaded["model"]._metadata == saved["model"]._metadata
    ours, theirs = trained(tg, loaded)["model"], trained(torch, saved)["model"]
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name].numpy(), value.numpy(), rtol=1e-6)


def test_parameters_shared_memory_and_half_precision():
    x = torch.zeros(4)
    weight = torch.nn.Parameter(torch.ones(2))
    half = torch.tensor([1.5, -3.0], dtype=torch.bfloat16)
    a, b, w, h, size, dtype = read(file_of([x, x[1:], weight, half, x.shape, torch.float16]))
    a[1] = 7.0
    assert b[0].item() == 7
    assert isinstance(w, tg.nn.Parameter)
    assert (h.dtype, h.tolist()) == (tg.float32, [1.5, -3.0])
    assert (size, dtype) == ((4,), tg.float16)


class Reduced:
    """An object whose pickle calls a function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.reduced = function, args

    def __reduce__(self) -> Any:
        return self.reduced


def archive(obj: Any, **storages: bytes) -> bytes:
    """Return a file with a pickle of `obj`, in which a tuple of "storage" is a persistent id."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return value if isinstance(value, tuple) and value[:1] == ("storage",) else None

    content, file = io.BytesIO(), io.BytesIO()
    Pickler(content, 2).dump(obj)
    with zipfile.ZipFile(file, "w") as zf:
        zf.writestr("a/data.pkl", content.getvalue())
        for key, data in storages.items():
            zf.writestr(f"a/data/{key}", data)
    return file.getvalue()


def read_strided(offset: int, size: Any, stride: Any, memory: int = 16) -> Any:
    """Read a tensor of four numbers that a file stores with any size and strides."""
    storage = ("storage", torch.FloatStorage, "k", "cpu", 4)
    plain = (False, None)  # requires_grad and hooks
    rebuilt = Reduced(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, *plain)
    return read(archive(rebuilt, k=bytes(memory)))


WRONG = {
    "beyond the end": (2, (3,), (1,)),
    "stride beyond the end": (0, (2,), (4,)),
    "negative stride": (3, (2,), (-1,)),
    "negative offset": (-1, (2,), (1,)),
    "expanded": (0, (10**12,), (0,)),
    "huge": (0, (2**62, 4), (1, 1)),
    "lengths differ": (0, (2, 2), (1,)),
    "no numbers": (0, ("a",), (1,)),
}


@pytest.mark.parametrize("name", WRONG)
def test_sizes_and_strides_are_checked(name: str):
    with pytest.raises(FormatError, match="tensor"):
        read_strided(*WRONG[name])
    assert read_strided(1, (3,), (1,)).tolist() == [0, 0, 0]


def test_nothing_else_is_read():
    for obj in (Reduced(exec, "raise SystemExit"), [torch.nn.Linear(2, 1)], {"f": print}):
        with pytest.raises(FormatError, match=r"read without running code.*state_dict\(\), path\)"):
            read(archive(obj))
    good = file_of({"a": torch.ones(3)})
    for damaged in (good[:-30], good[:40], good.replace(b"data.pkl", b"data.pkX"), b"PK\x03\x04"):
        with pytest.raises(FormatError, match="cannot load"):
            read(damaged)
    with pytest.raises(FormatError, match="damaged"):  # less memory than the storage has
        read_strided(0, (4,), (1,), memory=8)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_damaged_files_raise_format_errors(seed: int):
    rng, content = np.random.default_rng(seed), bytearray(file_of({"a": torch.ones(3), "b": [1]}))
    for k in rng.integers(0, len(content), 3):
        content[k] = rng.integers(0, 256)
    with suppress(FormatError):
        read(bytes(content))


@pytest.mark.parametrize("nested", [False, True])
def test_versions_of_a_state_dict_are_kept(nested: bool):
    class Versioned(tg.nn.Linear):
        _version = 3

        def _load_from_state_dict(self, state: Any, prefix: str, local: Any, *rest: Any) -> None:
            seen.append(local.get("version"))
            super()._load_from_state_dict(state, prefix, local, *rest)

    seen: list[Any] = []
    model, file = tg.nn.Sequential(Versioned(2, 1), tg.nn.Linear(1, 1)), io.BytesIO()
    state = model.state_dict()
    tg.save({"model": state, "epoch": 1} if nested else state, file)
    loaded = tg.load(io.BytesIO(file.getvalue()))
    loaded = loaded["model"] if nested else loaded
    assert list(loaded) == list(state)
    assert loaded._metadata == state._metadata  # type: ignore[attr-defined]
    model.load_state_dict(loaded)
    assert seen == [3]
