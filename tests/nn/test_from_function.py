"""Modules made from functions: settings, defaults, docstrings, errors."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import tinygrad_fc as tg
from tinygrad_fc import nn
from tinygrad_fc.nn.from_function import FromFunction

MODULES = {
    name: kind
    for name, kind in vars(nn).items()
    if isinstance(kind, type) and issubclass(kind, FromFunction)
}


def function_of(kind: Any) -> Any:
    return getattr(nn.functional, kind._function_name.rpartition(".")[2])


@pytest.mark.parametrize("name", MODULES)
def test_settings_and_defaults_are_those_of_the_function(name: str):
    settings = inspect.signature(MODULES[name]).parameters
    if not settings:
        return
    parameters = inspect.signature(function_of(MODULES[name])).parameters
    assert settings.keys() <= parameters.keys()
    assert {k: p.default for k, p in settings.items()} == {
        k: parameters[k].default for k in settings
    }


@pytest.mark.parametrize("name", MODULES)
def test_the_docstring_is_that_of_the_function(name: str):
    assert inspect.getdoc(function_of(MODULES[name])) in str(inspect.getdoc(MODULES[name]))


def test_settings_are_checked_by_name_and_number():
    with pytest.raises(TypeError, match=r"ELU\(alpha=1.0, inplace=False\): too many positional"):
        nn.ELU(1.0, False, 3)  # type: ignore[call-arg]  # noqa: FBT003
    with pytest.raises(TypeError, match=r"Threshold\(threshold, value, inplace=False\): missing"):
        nn.Threshold(1.0)  # type: ignore[call-arg]
    assert nn.ELU(alpha=2.0).alpha == 2
    assert nn.CrossEntropyLoss(tg.ones(3)).weight.tolist() == [1, 1, 1]
