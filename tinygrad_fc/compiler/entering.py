"""The first part of generated code: whether the program fits the call, and its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_fc import dtypes, grad_mode, random
from tinygrad_fc.compiler.contents import alike, same_contents
from tinygrad_fc.compiler.finding import MISS, Finding
from tinygrad_fc.compiler.guarding import hooks_of
from tinygrad_fc.compiler.program import Argument, Change, Gradient, Held, Option, Random, State
from tinygrad_fc.compiler.tree import flatten
from tinygrad_fc.graph import Node, state

_RARE = ("_buffer_names", "_hooks")
"""Containers of modules of which `state.structure` tells."""
_SAME_BY_VALUE = (bool, str, bytes, type(None))


class Entering(Finding):
    """Asks whether the program fits a call, and gathers its inputs."""

    def arguments(self) -> None:
        """Write how the arguments are taken apart, and what they must be."""
        positional, named = self.spec[1]
        if all(part is None for part in positional[1]) and not named[1]:
            self.check(f"kwargs or len(args) != {len(positional[1])}")
        else:
            self.names.update(flatten=flatten, spec=self.spec)
            self.add("args, there = flatten((args, kwargs))")
            self.check("there != spec")
        if self.leaves:
            self.add("".join(f"a{k}, " for k in range(len(self.leaves))) + "= args")
        seen: dict[int, int] = {}
        for k, leaf in enumerate(self.leaves):
            if id(leaf) in seen and isinstance(leaf, Node | np.ndarray):
                self.check(f"a{k} is not a{seen[id(leaf)]}")
                continue
            for j, other in enumerate(self.leaves[:k]):
                if any(isinstance(leaf, t) and isinstance(other, t) for t in (Node, np.ndarray)):
                    self.check(f"a{k} is a{j}")
            seen[id(leaf)] = k
            self.argument(f"a{k}", leaf)

    def argument(self, found: str, leaf: Any) -> None:
        """Write what one leaf of the arguments must be."""
        self.names["ndarray"] = np.ndarray
        if isinstance(leaf, Node):
            self.check(f"{found}.__class__ is not {self.name(type(leaf), 'c')}")
            if leaf._requires_grad:
                other = f"{found}._op is not None or {found}._watch is not None"
                self.check(f"not {found}._requires_grad or {other}")
            else:
                self.check(f"{found}._requires_grad")
        elif isinstance(leaf, np.ndarray):
            self.check(f"{found}.__class__ is not ndarray")
        elif type(leaf) in _SAME_BY_VALUE:
            self.check(f"{found}.__class__ is not {self.name(type(leaf), 'c')}")
            self.check(f"{found} != {leaf!r}")
        else:
            self.same(found, leaf)

    # Guards

    def guards(self, flags: int) -> None:
        """Write what must be as it was."""
        self.names.update(flags=grad_mode.flags.get, state=state, structure=state.structure)
        self.check(f"flags() != {flags}")
        self.names.update(dtypes=dtypes, default=dtypes.get_default_dtype())
        self.check("dtypes._default is not default")
        self.check("state.structure != structure and not unmoved()")
        rare = []
        for guard in self.program.guards:
            write = getattr(self, f"guard_{guard.kind}", None)
            if write is None or (guard.kind == "contents" and self.of_a_module(guard.subject[0])):
                rare.append(guard)
            else:
                write(guard.subject, guard.value)

        def unmoved() -> bool:
            """Look at what changes rarely, and raises `state.structure` when it does."""
            if not all(holds(*guard) for guard in rare):
                return False
            for name in [k for k in self.names if k[0] == "m" and k[1:].isdigit()]:
                self.names[name] = None  # a gradient that may have been told to require grad
            self.names["structure"] = state.structure
            return True

        self.names["unmoved"] = unmoved

    def of_a_module(self, container: Any) -> bool:
        """Tell whether a container is one of those by which every module is what it is."""
        return any(
            guard.kind == "attribute" and guard.value is container and guard.subject[1] in _RARE
            for guard in self.program.guards
        )

    def guard_grad(self, source: Any, there: Any) -> None:
        """Write that a gradient is there, or not."""
        self.check(f"{self.tensor(Gradient(source))} is {'' if there else 'not '}None")

    def guard_option(self, source: Any, value: Any) -> None:
        """Write that an option that is no number is what it was."""
        self.check(f"{self.option(source)} is not {self.name(value, 'z')}")

    def guard_state(self, subject: Any, keys: Any) -> None:
        """Write that an optimizer keeps for a tensor what it kept."""
        kept = self.kept(*subject)
        self.check(f"len({kept}) != {len(keys)}")
        for key in keys:
            self.check(f"{key!r} not in {kept}")

    def guard_kept(self, source: Any, value: Any) -> None:
        """Write that what is kept, which is neither a number nor a tensor, is what it was."""
        found = f"{self.kept(source.optimizer, source.tensor)}[{source.key!r}]"
        self.check(f"{found} is not {self.name(value, 'z')}")

    def guard_groups(self, optimizer: Any, groups: Any) -> None:
        """Write that an optimizer has as many groups, of the same parameters."""
        of = self.name(optimizer, "o")
        found = self.local((of, "groups"), "q", f"{of}.param_groups")
        self.check(f"len({found}) != {len(groups)}")
        for k, params in enumerate(groups):
            held = f"{self.group(optimizer, k)}['params']"
            self.check(f"len({held}) != {len(params)}")
            if params:
                names = "".join(f"p{i}, " for i in range(len(params)))
                self.lines.append((f"{names}= {held}", True))
                others = (f"p{i} is not {self.name(p, 't')}" for i, p in enumerate(params))
                self.check(" or ".join(others))

    def guard_apart(self, outside: Any, _: Any) -> None:
        """Write that no argument is one of the tensors from outside."""
        self.names["outside"] = frozenset(map(id, outside))
        for k, leaf in enumerate(self.leaves):
            if isinstance(leaf, Node | np.ndarray):
                self.check(f"id(a{k}) in outside")

    def guard_same(self, sources: Any, _: Any) -> None:
        """Write that two tensors share an array."""
        one, other = map(self.tensor, sources)
        self.check(f"{one}._array is not {other}._array")

    def guard_strides(self, source: Any, value: Any) -> None:
        """Write that the memory of an array lies as it did."""
        self.check(f"{self.raw(source)}.strides != {value}")

    def guard_global(self, subject: Any, value: Any) -> None:
        """Write that a global name, or an attribute, stands for what it stood for."""
        self.same(f"{self.name(subject[0], 'n')}.get({subject[1]!r}, MISS)", value)

    def guard_cell(self, subject: Any, value: Any) -> None:
        """Write that a name of an enclosing function stands for what it stood for."""
        self.same(f"{self.name(subject[0], 'n')}.cell_contents", value)

    def guard_slot(self, subject: Any, value: Any) -> None:
        """Write that an attribute that is in no dict stands for what it stood for."""
        self.names.setdefault("getattr", getattr)
        self.same(f"getattr({self.name(subject[0], 'n')}, {subject[1]!r}, MISS)", value)

    def guard_defaults(self, subject: Any, value: Any) -> None:
        """Write that the defaults of a function are those that they were."""
        self.check(f"{self.name(subject[0], 'n')}.{subject[1]} is not {self.name(value, 'z')}")

    def guard_values(self, subject: Any, value: Any) -> None:
        """Write that a small array holds what it held."""
        self.check(f"{self.name(subject[0], 'n')}.tobytes() != {self.name(value, 'z')}")

    def guard_contents(self, subject: Any, value: Any) -> None:
        """Write that a container holds what it held."""
        self.names["same_contents"] = same_contents
        held, before = self.name(subject[0], "n"), self.name(value, "z")
        self.check(f"not same_contents({held}, {before})")

    # Inputs

    def gather(self) -> None:
        """Write how the inputs are found; where one is of another kind, this is no call for it."""
        start = len(self.lines)
        self._gather()
        if len(self.lines) > start:
            self.lines[start:] = [(" " + line, guard) for line, guard in self.lines[start:]]
            self.lines.insert(start, ("try:", False))
            self.add("except (AttributeError, LookupError, TypeError): return MISS")

    def _gather(self) -> None:
        for number, source in self.program.inputs.items():
            value = self.program.values[number]
            if isinstance(source, Option):
                self.add(f"v{number} = {self.option(source)}")
                self.plain(number, value)
            elif isinstance(source, Random):
                of = self.name(source.generator, "r")
                ours = isinstance(source.generator, random.Generator)
                self.add(f"v{number} = {of}.rng" if ours else f"v{number} = {of}")
            elif value.shape is None:
                self.add(f"v{number} = {self.tensor(source)}")
                self.plain(number, value)
            else:
                self.array(number, source, value)

    def apart(self) -> None:
        """Write that no argument sees memory that is changed, nor one that is changed another's.

        The trace has looked at its own arguments, which need not be those of the next call.
        """
        inputs = self.program.inputs
        arrays = [n for n in inputs if self.program.values[n].shape is not None]
        given = [n for n in arrays if isinstance(inputs[n], Argument | Gradient)]
        changed = {w.target for w in self.program.writes if isinstance(w, Change)}
        self.steady += [f"w{n}" for n in arrays if self.is_kept(n)]
        self.changed += [f"w{n}" for n in arrays if n in changed and self.is_kept(n)]
        self.names.update(owners=self.owners, shared=self.shared, share=np.may_share_memory)
        for n in given:
            if self.changed:
                # By an id alone, since this is asked of every batch.
                self.lines.append((f"b = v{n}.base", True))
                self.check(f"id(v{n} if b is None else b) in owners and shared(v{n})")
            for m in arrays:
                pair = n in changed or (m in changed and not self.is_kept(m))
                if m != n and pair and (m not in given or m not in changed or n < m):
                    self.check(f"share(v{n}, v{m})")

    def is_kept(self, number: int) -> bool:
        """Tell whether an input is an array that is the same in most calls."""
        return isinstance(self.program.inputs[number], Held | State)

    def plain(self, number: int, value: Any) -> None:
        """Write that an input is a plain number of the kind that it was, or of a class below it."""
        kind = {"b": bool, "i": int, "f": float}[value.dtype.kind]
        self.names.update({kind.__name__: kind, "plain": _plain})
        self.add(
            f"if v{number}.__class__ is not {kind.__name__} and "
            f"(v{number} := plain(v{number}, {kind.__name__})) is MISS: return MISS"
        )

    def raw(self, source: Any) -> str:
        """Return the expression for the array at a source."""
        bare = isinstance(source, Held) and not isinstance(source.tensor, Node)
        if isinstance(source, Argument):
            bare = not isinstance(self.leaves[source.index], Node)
        return self.tensor(source) + ("" if bare else "._array")

    def array(self, number: int, source: Any, value: Any) -> None:
        """Write how an input that is an array is found, and what it must be."""
        self.add(f"v{number} = {self.raw(source)}")
        dtype = self.name(value.dtype, "d")
        if self.is_kept(number):
            self.names[f"w{number}"] = np.broadcast_to(np.zeros((), value.dtype), value.shape)
            other = f"v{number} is not w{number} and not known('w{number}', v{number})"
            self.add(f"if {other}: return MISS")
        else:
            self.check(
                f"v{number}.shape != {value.shape} or (v{number}.dtype is not {dtype} "
                f"and v{number}.dtype != {dtype})"
            )


def _plain(value: Any, kind: type) -> Any:
    """Return a number of a class below `kind`, as NumPy's scalars are, as one of it, or `MISS`."""
    return kind(value) if isinstance(value, kind) and not isinstance(value, bool) else MISS


def holds(kind: str, subject: Any, value: Any) -> bool:
    """Tell whether a guard that is rarely broken holds."""
    match kind:
        case "requires_grad":
            held = isinstance(subject, Held)
            return not held or bool(subject.tensor._requires_grad) is value
        case "attribute":
            found: Any = getattr(subject[0], subject[1], None)
            return same_contents((found,), (value,))
        case "hooks":
            return alike(hooks_of(subject[0]), value)
        case "method":
            return vars(subject[0]).get(subject[1], MISS) is value
        case "names":
            return tuple(vars(subject[0])) == tuple(value)
        case _:
            return same_contents(subject[0], value)
