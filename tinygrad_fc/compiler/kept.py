"""What stands for the options and the state of an optimizer, and for a generator, in a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_fc.compiler import known
from tinygrad_fc.compiler.number import Number
from tinygrad_fc.compiler.program import Begin, State
from tinygrad_fc.compiler.refusal import refusal
from tinygrad_fc.graph import Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinygrad_fc.compiler.watch import Watch


class Options(dict):  # type: ignore[type-arg]
    """Stands for a group of an optimizer: its numbers are read anew at each call."""

    def __init__(self, watch: Watch, optimizer: Any, number: int, real: dict[str, Any]) -> None:
        super().__init__(real)
        self.watch, self.optimizer, self.number = watch, optimizer, number

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if key in ("params", "param_names"):
            return value
        return self.watch.option(self.optimizer, self.number, key, value)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the option, or the default."""
        return self[key] if key in self else default  # noqa: SIM401  which this is

    def __setitem__(self, key: str, value: Any) -> None:
        raise refusal(
            f"the option {key!r} of an optimizer is set:",
            "Set it outside of the compiled function, as schedulers do: it is read at every call.",
        )


class Kept(dict):  # type: ignore[type-arg]
    """Stands for what an optimizer keeps for a tensor."""

    def __init__(self, watch: Watch, optimizer: Any, tensor: Any, real: Any) -> None:
        super().__init__(real or {})
        self.watch, self.optimizer, self.tensor = watch, optimizer, tensor
        self.new: set[str] = set()
        for key, value in self.items():
            source = State(optimizer, tensor, key)
            if isinstance(value, Node):
                watch.sources.setdefault(id(value), source)
                watch.outside[id(value)] = value
        self.there = tuple(self)
        watch.outside[id(optimizer)] = optimizer
        watch.guard("state", (optimizer, tensor), self.there)

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if key not in self.new and type(value) in (int, float):
            return Number(self.watch, None, value, State(self.optimizer, self.tensor, key))
        if key not in self.new and not isinstance(value, Node):
            self.watch.guard("kept", State(self.optimizer, self.tensor, key), value)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """Return what is kept, or the default."""
        return self[key] if key in self else default  # noqa: SIM401  which this is

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self.new.add(key)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return what is kept; keep the default where there is nothing."""
        if key not in self:
            self[key] = default
        return self[key]

    @property
    def fresh(self) -> bool:
        """Whether something is kept that was not there before."""
        return any(key not in self.there for key in self.new)

    def begun(self) -> Iterator[Any]:
        """Yield what is kept from now on."""
        for key in self:
            if key in self.new:
                value = super().__getitem__(key)
                if isinstance(value, Node):
                    number = self.watch.read_array(value).number
                    yield Begin(self.optimizer, self.tensor, key, number)
                elif type(value) is Number:
                    yield Begin(self.optimizer, self.tensor, key, value.at)
                else:
                    yield Begin(self.optimizer, self.tensor, key, None, value)


class States:
    """Stands for the state of an optimizer."""

    def __init__(self, watch: Watch, optimizer: Any, real: Any) -> None:
        self.watch, self.optimizer, self.real = watch, optimizer, real

    def __getitem__(self, tensor: Any) -> Kept:
        return self.watch.state(self.optimizer, tensor, self.real.get(tensor))

    def get(self, tensor: Any, default: Any = None) -> Any:
        """Return what is kept for a tensor, or the default."""
        return self[tensor] or default

    def __contains__(self, tensor: Any) -> bool:
        return bool(self[tensor])


class Draws:
    """Stands for a NumPy generator: what it draws is drawn anew at each call."""

    def __init__(self, watch: Watch, number: Number) -> None:
        self.watch, self.number = watch, number

    def _draw(self, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
        out = kwargs.pop("out", None)
        if out is not None:
            kwargs["size"] = out.shape
        operands: list[Any] = [self.number]
        settings = {
            "inputs": tuple(known.template(a, operands) for a in args),
            "named": {k: known.template(v, operands) for k, v in kwargs.items()},
        }
        made = self.watch.emit("draw", name, operands, settings)
        return made if out is None else self.watch.stored(out, made)

    def __getattr__(self, name: str) -> Any:
        if name not in (
            *("random", "standard_normal", "normal", "uniform", "integers", "permutation"),
            *("exponential", "standard_exponential", "gamma", "poisson", "binomial", "choice"),
        ):
            raise refusal(
                f"the tracer does not know the method {name} of a generator:",
                "Draw outside of the compiled function, and hand the numbers over.",
            )

        def draw(*args: Any, **kwargs: Any) -> Any:
            return self._draw(name, args, kwargs)

        return draw
