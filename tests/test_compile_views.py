"""Views, and what is written through them, are those of eager code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from twins import same

import tinygrad_fc as tg
from tinygrad_fc.compiler import CompileError

some = settings(max_examples=max(40, settings.default.max_examples))
SHAPES = ((2, 3), (3, 2), (6,), (1, 6), (6, 1), (2, 1, 3))
LAYOUTS: dict[str, Any] = {
    "C": lambda a: a,
    "F": np.asfortranarray,
    "every other": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "from the back": lambda a: a[::-1].copy()[::-1],
    "part of a larger one": lambda a: np.pad(a, 1)[tuple(slice(1, -1) for _ in a.shape)],
}
STEPS: dict[str, Any] = {
    "transposed": lambda t, k: t.T if t.ndim == 2 else t,
    "reshaped": lambda t, k: t.reshape(SHAPES[k % len(SHAPES)]) if t.numel() == 6 else t,
    "a row": lambda t, k: t[k % len(t)] if t.ndim > 1 and len(t) else t,
    "a part": lambda t, k: t[k % 2 :],
    "backwards": lambda t, k: t.flip(0) + 0 if k % 2 else t[::1],
    "copied": lambda t, k: t.clone(),
    "detached": lambda t, k: t.detach(),
    "positive": lambda t, k: +t,
}
WRITES: dict[str, Any] = {
    "added to": lambda t, x, k: t.add_(x[0] * k),
    "filled": lambda t, x, k: t.fill_(float(k)),
    "set": lambda t, x, k: t.__setitem__(k % len(t), x[1] * k),
    "set to the last": lambda t, x, k: t.__setitem__(Ellipsis, t.clone() * 2),
}
layouts = st.sampled_from(list(LAYOUTS))
indices = st.integers(0, 11)
programs = st.lists(
    st.one_of(
        st.tuples(st.just("view"), st.sampled_from(list(STEPS)), indices, indices),
        st.tuples(st.just("write"), st.sampled_from(list(WRITES)), indices, indices),
    ),
    min_size=1,
    max_size=8,
)


def run(program: Any, start: Any, x: Any) -> list[Any]:
    seen = [start]
    for kind, name, of, k in program:
        t = seen[of % len(seen)]
        if kind == "view":
            seen.append(STEPS[name](t, k))
        elif len(t):
            WRITES[name](t, x, k)
    return [t.clone() for t in seen]


@some
@given(programs, st.sampled_from(SHAPES[:4]), layouts, layouts, st.booleans())
def test_views_see_what_is_written(
    program: Any, shape: Any, layout: str, later: str, outside: bool
):
    def made() -> Any:
        values = np.arange(1.0, 7.0).reshape(shape)
        return tg.from_numpy(LAYOUTS[layout](values))

    eager, twin, x = made(), made(), tg.tensor([0.5, 3.0])
    if outside:
        compiled = tg.compile(lambda x: run(program, twin, x), backend="numpy")
    else:
        of = tg.compile(lambda t, x: run(program, t, x), backend="numpy")
        compiled = lambda x: of(twin, x)  # noqa: E731
    for k in range(4):
        if k == 2:
            for t in (eager, twin):
                t.data = tg.from_numpy(LAYOUTS[later](np.array(t.numpy(), order="C")))
        expected = run(program, eager, x * k)
        note(f"expected {expected}")
        same("views", compiled(x * k), expected)
        same("memory", twin, eager)


@pytest.mark.parametrize("name", ["flip", "rot90", "diagonal"])
def test_views_that_functions_of_numpys_make(name: str):
    def seen(a: Any) -> Any:
        view = getattr(np, name)(a)
        a += 1.0
        return view * 2

    def changed(a: Any) -> Any:
        return getattr(np, name)(a).fill(1.0)

    compiled, one, other = tg.compile(seen, backend="numpy"), np.ones((2, 2)), np.ones((2, 2))
    for _ in range(2):
        same("view", compiled(one), seen(other))
        same("memory", one, other)
    with pytest.raises((CompileError, ValueError), match=r"which is a view|read-only"):
        tg.compile(changed, backend="numpy")(one)
