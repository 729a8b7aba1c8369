"""The whole of generated code: three functions, for every call, for the first, and for epochs."""

from __future__ import annotations

import copy
import functools
import sys
from typing import TYPE_CHECKING, Any

from tinygrad_fc import graph
from tinygrad_fc.compiler import stub
from tinygrad_fc.compiler.entering import Entering
from tinygrad_fc.compiler.finding import UNFIT
from tinygrad_fc.compiler.giving_back import given_back
from tinygrad_fc.compiler.program import (
    Argument,
    Begin,
    Change,
    Held,
    Leave,
    Random,
    Replace,
    Result,
    Same,
    State,
    Unfit,
    results,
)
from tinygrad_fc.compiler.tree import flatten, unflatten
from tinygrad_fc.errors import DivisionError, RangeError
from tinygrad_fc.graph import state, tick, wrap

if TYPE_CHECKING:
    from tinygrad_fc.compiler.program import Program


class Writer(Entering):
    """Calls the kernel, and leaves behind what the function leaves behind."""

    def __init__(self, program: Program, kernel: Any, arguments: Any, flags: int) -> None:
        super().__init__(program, arguments)
        self.flags = flags
        self.owned: list[str] = []  # global names that the code sets
        self.given_back = given_back(program)
        self.names.update(
            kernel=self.settling(kernel),
            UNFIT=UNFIT,
            Unfit=Unfit,
            changing=graph.changing,
            changes=state.changes,
            changed=graph.changed,
            tick=tick,
            wrap=wrap,
            new=object.__new__,
            refs=sys.getrefcount,
            unflatten=unflatten,
            made_by=stub.made_by(program.name),
            parents=stub.PARENTS,
            stubs=stub.ARGS,
            Tensor=state.tensor,
        )

    def settling(self, kernel: Any) -> Any:
        """Return a kernel; in place of one that is to choose between two, the chosen one later."""
        if not hasattr(kernel, "settled"):
            return kernel

        def choosing(*inputs: Any) -> Any:
            made = kernel(*inputs)
            if kernel.settled is not None:
                self.names["kernel"] = kernel.settled
            return made

        return choosing

    def give_back(self) -> None:
        """Write that gradients of the last call, which nobody else has, give their memory back.

        A call that goes wrong then leaves none, as one that begins with `zero_grad` does.
        """
        for k in self.given_back:
            tensor = self.tensor(self.program.writes[k].of)
            self.add(f" g = {tensor}._grad")
            self.add(f" if g is m{k} and refs(g) == 4: g._array = {tensor}._grad = None")

    def leave(self, results: list[str]) -> None:
        """Write what a call leaves behind."""
        program, at = self.program, iter(results)
        targets = [w.target for w in program.writes if isinstance(w, Change)]
        if program.writes:
            self.add("state.changed = now = tick()")
        for number in targets:
            if isinstance(program.inputs[number], Held | State):
                self.add(f"changes[iw{number}] = now")
            else:
                self.add(f"changed(v{number})")
        for k, write in enumerate(program.writes):
            match write:
                case Leave(of, None):
                    self.add(f"{self.tensor(of)}._grad = None")
                case Leave(of, _):
                    self.gradient(self.tensor(of), next(at), k)
                case Replace(target, _):
                    found = self.tensor(target)
                    self.add(f"changed({found}._array)")
                    self.add(f"{found}._array = {next(at)}")
                case Begin(optimizer, tensor, key, begun, value):
                    kept = f"{self.name(optimizer, 'o')}.state[{self.name(tensor, 't')}]"
                    if begun is None:
                        self.add(f"{kept}[{key!r}] = {self.name(value, 'z')}")
                    else:
                        plain = program.values[begun].shape is None
                        made = next(at)
                        self.add(f"{kept}[{key!r}] = {made if plain else f'wrap({made})'}")

    def gradient(self, tensor: str, result: str, k: int) -> None:
        """Write how a gradient is left: in the tensor of the last time, if nobody else has that."""
        self.names[f"m{k}"] = None
        self.owned.append(f"m{k}")
        self.add(f"g = {tensor}._grad")
        self.add(f"if g is m{k} and refs(g) == 4: g._array = {result}")
        if k in self.given_back:
            self.add(f"elif g is None and m{k} is not None and m{k}._array is None:")
            self.add(f" {tensor}._grad = m{k}")
            self.add(f" m{k}._array = {result}")
        self.add(f"else: m{k} = {tensor}._grad = wrap({result})")

    def result(self, results: dict[int, str]) -> None:
        """Write what is returned."""
        program = self.program
        leaves, spec = flatten(program.result)
        made = []
        seen: dict[int, str] = {}
        for k, leaf in enumerate(leaves):
            if id(leaf) in seen:
                made.append(seen[id(leaf)])
                continue
            if isinstance(leaf, Result):
                name = results[id(leaf)] + ("[()]" if leaf.scalar else "")
                if not leaf.array:
                    self.tensor_of(f"l{k}", name, requires_grad=leaf.requires_grad)
                    name = f"l{k}"
            elif isinstance(leaf, Same):
                name = self.tensor(leaf.source)
            else:
                name = self.name(leaf, "z")
                if any(leaf is each for each in program.copied):
                    self.names["copied"] = copy.copy
                    name = f"copied({name})"
            made.append(name)
            seen[id(leaf)] = name
        if spec is None:
            self.add(f"return {made[0]}")
        elif spec[0] in (tuple, list) and all(part is None for part in spec[1]):
            text = "".join(f"{name}, " for name in made)
            self.add(f"return ({text})" if spec[0] is tuple else f"return [{text}]")
        else:
            self.names["like"] = spec
            self.add(f"return unflatten(like, ({''.join(f'{name}, ' for name in made)}))")

    def tensor_of(self, name: str, array: str, *, requires_grad: bool) -> None:
        """Write how a result becomes a tensor."""
        self.add(f"{name} = new(Tensor)")
        self.add(f"{name}._array = {array}")
        self.add(f"{name}._grad = {name}._watch = None")
        self.add(f"{name}._requires_grad = {requires_grad}")
        self.add(f"{name}._seq = tick()")
        if requires_grad:
            self.add(f"{name}._op, {name}._parents, {name}._args = made_by, parents, stubs")
            self.add(f"{name}._settings = NONE")
        else:
            self.add(f"{name}._op = {name}._parents = {name}._args = None")

    def text(self) -> str:
        """Return the source of the two functions: for every call, and for the first."""
        program = self.program
        self.arguments()
        self.guards(self.flags)
        self.gather()
        self.apart()
        outputs = program.outputs()
        names = [f"y{k}" for k in range(len(outputs))]
        inputs = ", ".join(f"v{number}" for number in program.inputs)
        left = sum(w.number is not None and not isinstance(w, Change) for w in program.writes)
        drawing = [n for n, source in program.inputs.items() if isinstance(source, Random)]
        drawing = drawing if any(step.kind == "expect" for step in program.instructions) else []
        for number in drawing:
            self.add(f"b{number} = v{number}.bit_generator.state")
        prologue, self.lines = self.lines, []
        target = f"{', '.join(names)}, = " if names else ""
        self.add("with changing:")
        self.give_back()
        self.add(" try:")
        self.add(f"  {target}kernel({inputs})")
        self.add(" except Unfit:")
        for number in drawing:
            self.add(f"  v{number}.bit_generator.state = b{number}")
        self.add("  return UNFIT")
        self.names["eager"] = functools.partial(_as_eager, program.name)
        self.add(" except (IndexError, ZeroDivisionError) as error: raise eager(error) from error")
        start = len(self.lines)
        self.leave(names[:left])
        self.lines[start:] = [(" " + line, c) for line, c in self.lines[start:]]
        found = dict(zip(map(id, results(program.result)), names[left:], strict=True))
        for module, name, value in program.attributes:
            there, new = self.name(module, "t"), self.name(value, "z")
            self.names["getattr"] = getattr
            held = f"getattr({there}, {name!r}, MISS)"
            self.add(f"if {held} is not {new}: {there}.{name} = {new}")
        self.result(found)
        body, self.lines = self.lines, []
        head = f" global {', '.join(self.owned)}\n" if self.owned else ""
        every = _written(prologue + body)
        first = _written([(line, False) for line, guard in prologue if not guard] + body)
        looped = _written(prologue + self.looped(inputs, body))
        self.leaves = []  # which nobody needs any more, and may be large
        return (
            f"def call(args, kwargs):\n{head}{every}\n"
            f"def first(args, kwargs):\n{head}{first}\n"
            f"def epoch(args, kwargs, order, data, loop):\n{head}{looped}"
        )

    def looped(self, inputs: str, body: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
        """Return the lines for many steps: rows of whole data sets, and a way back on `Unfit`."""
        program = self.program
        lines = ["if loop is None: return None"]
        for number, source in program.inputs.items():
            if isinstance(source, Argument):
                lines.append(f"v{number} = data[{source.index}]")
        changed = [w.target for w in program.writes if isinstance(w, Change)]
        drawing = [n for n, source in program.inputs.items() if isinstance(source, Random)]
        lines += [f"b{n} = v{n}.copy()" for n in changed]
        lines += [f"b{n} = v{n}.bit_generator.state" for n in drawing]
        back = [f"  v{n}[...] = b{n}" for n in changed]
        back += [f"  v{n}.bit_generator.state = b{n}" for n in drawing]
        made: list[tuple[str, bool]] = []
        for line, guard in body:
            new = line.replace(f"kernel({inputs})", f"loop(order, {inputs})")
            made.append((new, guard))
            if line == " except Unfit:":
                made += [(line, False) for line in back]
        return [(line, False) for line in lines] + made


def _as_eager(name: str, error: Exception) -> Exception:
    """Return the library's own error for one of NumPy's, or of native code."""
    if isinstance(error, RuntimeError):  # as all of the library's are
        return error
    kind = RangeError if isinstance(error, IndexError) else DivisionError
    return kind(
        f"{name}, compiled: {error}. It itself, {name}.__wrapped__(...), tells the line that does"
    )


def _written(lines: list[tuple[str, bool]]) -> str:
    return "".join(f" {line}\n" for line, _ in lines)
