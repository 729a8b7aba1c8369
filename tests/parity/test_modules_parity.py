"""Registries, traversals, state and hooks of random module trees, side by side with PyTorch's."""

import copy
import pickle
from itertools import islice
from typing import Any

import pytest
from against_torch import array
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_fc as tg

torch = pytest.importorskip("torch")

LIBRARIES = (tg, torch)
pytestmark = pytest.mark.filterwarnings("ignore:.*not part of the module")
log: list[Any] = []  # of calls of overridden methods

# One module, and a sequence of changes of its attributes


def holder_class(lib: Any) -> Any:
    """Return a class with a method, an attribute and a property with a setter."""

    class Holder(lib.nn.Module):
        limit = 3

        def method(self) -> None:
            """Do nothing."""

        @property
        def derived(self) -> int:
            return 1

        @derived.setter
        def derived(self, value: Any) -> None:
            self.__dict__["assigned"] = type(value).__name__

    return Holder


VALUES: dict[str, Any] = {
    "parameter": lambda lib: lib.nn.Parameter(lib.ones(1)),
    "frozen": lambda lib: lib.nn.Parameter(lib.ones(1), requires_grad=False),
    "module": lambda lib: lib.nn.Linear(1, 1),
    "tensor": lambda lib: lib.ones(2),
    "None": lambda lib: None,
    "int": lambda lib: 3,
    "list": lambda lib: [lib.nn.Linear(1, 1)],
    "dict": lambda lib: {"a": 1},
}
CHANGES: dict[str, Any] = {
    "set": setattr,
    "delete": lambda m, name, _: delattr(m, name),
    "parameter": lambda m, name, value: m.register_parameter(name, value),
    "buffer": lambda m, name, value: m.register_buffer(name, value),
    "transient": lambda m, name, value: m.register_buffer(name, value, persistent=False),
    "module": lambda m, name, value: m.add_module(name, value),
    "write a parameter": lambda m, name, value: m._parameters.__setitem__(name, value),
    "pop a module": lambda m, name, _: m._modules.pop(name),
}
# Not `write a parameter` of another value: neither library checks it.
names = st.sampled_from(["x", "y", "method", "limit", "derived", "training", "0", "", "a.b"])
changes = st.lists(
    st.tuples(st.sampled_from(sorted(CHANGES)), names, st.sampled_from(sorted(VALUES))), max_size=12
)


def registries(m: Any) -> Any:
    plain = [name for name in vars(m) if not name.startswith("_") and name != "training"]
    state = [m._parameters, m._buffers, m._modules]
    kinds = [{name: type(value).__name__ for name, value in d.items()} for d in state]
    return [list(k.items()) for k in kinds], sorted(plain), sorted(m._non_persistent_buffers_set)


@given(changes)
def test_attributes_are_registered_in_the_same_places(steps: list[tuple[str, str, str]]):
    pair = [holder_class(lib)() for lib in LIBRARIES]
    for change, name, value in steps:
        if change == "write a parameter" and value not in ("parameter", "None"):
            continue
        # The default of `training` is on the class.
        if name == "training" and (change == "delete" or value in ("parameter", "frozen")):
            continue
        results = []
        for m, lib in zip(pair, LIBRARIES, strict=True):
            try:
                CHANGES[change](m, name, VALUES[value](lib))
                error = None
            except (TypeError, KeyError, AttributeError) as raised:
                error = type(raised).__name__
                if change == "module":  # PyTorch checks the type before the name
                    error = "error"
            results.append((error, registries(m), list(m.state_dict())))
        assert results[0] == results[1]
    for name in ("x", "y", "derived", "limit", "0"):
        assert hasattr(pair[0], name) == hasattr(pair[1], name)
        assert len({type(getattr(m, name, None)).__name__ for m in pair}) == 1


# Trees of modules, some of which override methods


def node_class(lib: Any) -> Any:  # noqa: C901  one class
    """Return a module whose methods are logged, and have the effects that `effects` names."""
    base = lib.nn.Module

    class Node(base):  # type: ignore[misc]
        def __init__(self, label: str, effects: frozenset[str]) -> None:
            super().__init__()
            self.label, self.effects = label, effects

        def note(self, method: str, *details: Any) -> None:
            log.append((method, self.label, *details))

        def train(self, mode: bool = True) -> Any:
            self.note("train", mode)
            return super().train(mode and "frozen" not in self.effects)

        def apply(self, fn: Any) -> Any:
            self.note("apply")
            return super().apply(fn)

        def _apply(self, fn: Any, recurse: bool = True) -> Any:
            self.note("_apply", recurse)
            return self if "stays" in self.effects else super()._apply(fn, recurse)

        def named_modules(self, *args: Any, **kwargs: Any) -> Any:
            named = super().named_modules(*args, **kwargs)
            return islice(named, 1) if "closed" in self.effects else named

        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            state = super().state_dict(*args, **kwargs)
            self.note("state_dict", kwargs.get("prefix"), len(state))
            if "extra key" in self.effects:
                state[kwargs.get("prefix", "") + "extra"] = lib.ones(1)
            return state

        def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
            self.note("_save_to_state_dict", prefix, keep_vars)
            if "not saved" not in self.effects:
                super()._save_to_state_dict(destination, prefix, keep_vars)

        def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
            lists = [list(part) for part in rest[1:3]]
            self.note("_load_from_state_dict", prefix, dict(metadata), rest[0], *lists)
            if "renamed" in self.effects and prefix + "old" in state:
                state[prefix + "weight"] = state.pop(prefix + "old")
            super()._load_from_state_dict(state, prefix, metadata, *rest)

    class Stateful(Node):
        _version = 3

        def get_extra_state(self) -> Any:
            self.note("get_extra_state")
            return {"label": self.label}

        def set_extra_state(self, state: Any) -> None:
            self.note("set_extra_state", state)

    return Node, Stateful


TgNode, TgStateful = node_class(tg)
TorchNode, TorchStateful = node_class(torch)
for _name in ("TgNode", "TgStateful", "TorchNode", "TorchStateful"):  # so that pickle finds them
    globals()[_name].__qualname__ = _name
NODES = {tg: (TgNode, TgStateful), torch: (TorchNode, TorchStateful)}

EFFECTS = ["frozen", "stays", "extra key", "not saved", "renamed", "closed"]
KINDS = ["node", "stateful", "list", "dict", "sequential"]
_leaves = st.sampled_from(
    ["parameter", "buffer", "transient", "integers", "None", "number", "list", "again", "linear"]
)
_names = st.sampled_from(["weight", "a", "b", "old"])


def branches(kinds: list[str], parts: Any, max_size: int | None = None) -> Any:
    effects = st.frozensets(st.sampled_from(EFFECTS), max_size=2)
    items = st.dictionaries(_names, parts, max_size=max_size)
    return st.tuples(st.sampled_from(kinds), effects, items)


_parts = st.recursive(_leaves, lambda parts: branches(KINDS, parts, 3), max_leaves=9)
trees = branches(KINDS[:2], _parts)


class Builder:
    """Builds one tree in one library; its tensors are numbered."""

    def __init__(self, lib: Any) -> None:
        self.lib, self.created, self.count = lib, list[Any](), 0

    def tensor(self) -> Any:
        self.count += 1
        return self.lib.full((2,), float(self.count), dtype=self.lib.float64)

    def module(self, tree: Any) -> Any:
        nn = self.lib.nn
        kind, effects, items = tree
        if kind in KINDS[:2]:
            node = NODES[self.lib][kind == "stateful"](f"{kind}{len(self.created)}", effects)
            for name, part in items.items():
                self.put(node, name, part)
        else:
            modules = {k: m for k, p in items.items() if (m := self.submodule(p)) is not None}
            if kind == "dict":
                node = nn.ModuleDict(modules)
            else:
                node = nn.ModuleList(modules.values())
                node = node if kind == "list" else nn.Sequential(*node)
        self.created.append(node)
        return node

    def submodule(self, part: Any) -> Any:
        if isinstance(part, tuple):
            return self.module(part)
        if part == "again" and self.created:
            return self.created[len(self.created) // 2]
        if part == "linear":
            linear = self.lib.nn.Linear(1, 2, bias=False)
            linear.weight = self.lib.nn.Parameter(self.tensor().unsqueeze(1))
            return linear
        return None

    def put(self, node: Any, name: str, part: Any) -> None:
        if part in ("buffer", "transient"):
            node.register_buffer(name, self.tensor(), persistent=part == "buffer")
        elif part == "integers":
            node.register_buffer(name, self.lib.tensor([1, 2]))
        elif part == "parameter":
            setattr(node, name, self.lib.nn.Parameter(self.tensor()))
        elif part == "None":
            node.register_parameter(name, None)
        elif part == "number":
            setattr(node, name, 3)
        elif part == "list":
            setattr(node, name, [self.lib.nn.Tanh()])
        else:
            setattr(node, name, self.submodule(part))


def assert_same(action: Any, pair: Any) -> Any:
    """Compare what `action` returns or raises in either library, and the log of its calls."""
    results = []
    for lib, model in zip(LIBRARIES, pair, strict=True):
        log.clear()
        try:
            result = action(lib, model)
        except (RuntimeError, TypeError, KeyError, AttributeError) as error:
            result = type(error).__name__
        results.append((result, list(log)))
    assert results[0] == results[1]
    return results[0][0]


def tensors(named: Any) -> list[Any]:
    return [(name, str(t.dtype).split(".")[-1], array(t).tolist()) for name, t in named]


def state_of(state: Any) -> Any:
    values = [(k, array(v).tolist() if hasattr(v, "shape") else v) for k, v in state.items()]
    return values, [(key, dict(value)) for key, value in state._metadata.items()]


OPTIONS: list[dict[str, Any]] = [{}, {"prefix": "p"}, {"remove_duplicate": False}]
TRAVERSALS: dict[str, Any] = {
    "modules": lambda _, m: [type(x).__name__[-5:] for x in m.modules()],
    "children": lambda _, m: len(list(m.children())),
    "named_children": lambda _, m: [name for name, _ in m.named_children()],
    "named_modules": lambda _, m: [[name for name, _ in m.named_modules(**o)] for o in OPTIONS],
    "named_parameters": lambda _, m: [tensors(m.named_parameters(**o)) for o in OPTIONS],
    "named_buffers": lambda _, m: [tensors(m.named_buffers(**o)) for o in OPTIONS],
    "own parameters": lambda _, m: tensors(m.named_parameters(recurse=False)),
    "own buffers": lambda _, m: tensors(m.named_buffers(recurse=False)),
    "eval": lambda _, m: [x.training for x in m.eval().modules()],
    "train": lambda _, m: [x.training for x in m.train().modules()],
    "apply": lambda _, m: m.apply(lambda x: log.append(getattr(x, "label", ""))) and None,
    "float": lambda _, m: tensors(m.float().named_parameters()),
    "to": lambda lib, m: tensors(m.to(lib.float64).named_buffers()),
    "_apply": lambda _, m: m._apply(lambda t: t * 2) is m,
    "own _apply": lambda _, m: tensors(m._apply(lambda t: t + 1, recurse=False).named_buffers()),
    "repr": lambda _, m: repr(m),
    "state_dict": lambda _, m: state_of(m.state_dict()),
    "state_dict, prefix": lambda _, m: state_of(m.state_dict(prefix="p.")),
    "keep_vars": lambda _, m: [
        getattr(t, "requires_grad", None) for t in m.state_dict(keep_vars=True).values()
    ],
    "freeze": lambda _, m: [
        p.requires_grad for p in m.requires_grad_(requires_grad=False).parameters()
    ],
    "paths": lambda _, m: [
        [has(m, kind, path) for kind in ("submodule", "parameter", "buffer")]
        for path in ("", "a", "a.b", "weight", "a.weight", "b.0", "b.0.weight", "label")
    ],
}


def has(m: Any, kind: str, path: str) -> bool:
    try:
        return getattr(m, f"get_{kind}")(path) is not None
    except AttributeError:
        return False


@given(trees, st.lists(st.sampled_from(sorted(TRAVERSALS)), min_size=3, max_size=6))
def test_traversals_of_random_trees_call_the_same_methods(tree: Any, actions: list[str]):
    pair: Any = [Builder(lib).module(tree) for lib in LIBRARIES]
    for name in actions:
        assert_same(TRAVERSALS[name], pair)
    assert_same(TRAVERSALS["state_dict"], pair)


@given(trees, st.data())
def test_states_of_random_trees_are_loaded_alike(tree: Any, data: st.DataObject):
    pair: Any = [Builder(lib).module(tree) for lib in LIBRARIES]
    states = [copy.deepcopy(model.state_dict()) for model in pair]
    paths = list(states[0])
    assert paths == list(states[1])
    dropped = data.draw(st.sets(st.sampled_from(paths))) if paths else set()
    added = data.draw(st.sets(st.sampled_from(["new", "a.new", "weight.new", "a.b.old", "old"])))
    strict, assign = data.draw(st.booleans()), data.draw(st.booleans())
    is_plain = data.draw(st.booleans())
    for lib, state in zip(LIBRARIES, states, strict=True):
        for path, value in state.items():
            state[path] = value + 1 if hasattr(value, "shape") else value
        for path in dropped:
            del state[path]
        for path in added - set(paths):
            state[path] = lib.zeros(2, dtype=lib.float64)
    by_library = {lib: dict(s) if is_plain else s for lib, s in zip(LIBRARIES, states, strict=True)}

    def load(lib: Any, model: Any) -> Any:
        keys = model.load_state_dict(by_library[lib], strict=strict, assign=assign)
        return list(keys.missing_keys), list(keys.unexpected_keys)

    if assert_same(load, pair) != "RuntimeError":  # then only this library has loaded nothing
        assert_same(TRAVERSALS["state_dict"], pair)


@given(trees)
def test_copies_and_pickles_of_random_trees(tree: Any):
    pair: Any = [Builder(lib).module(tree) for lib in LIBRARIES]
    for twin in (copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), copy.copy):
        twins = [twin(model) for model in pair]
        for name in ("named_modules", "named_parameters", "named_buffers", "state_dict"):
            assert_same(TRAVERSALS[name], twins)
        shared = [
            [x is y for x, y in zip(a.parameters(), b.parameters(), strict=True)]
            for a, b in zip(twins, pair, strict=True)
        ]
        assert shared[0] == shared[1]
