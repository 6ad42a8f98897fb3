"""Nested figures and options as flat names and values, which is what stores keep."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spore_yolo.experiments.tracking.journal import plain


def numbers(values: Mapping[str, Any], separator: str = "/") -> dict[str, float]:
    """Every number of nested mappings and lists, by the names that lead to it.

    What is no number is left out, ``None`` too: a figure without a value is no figure.
    """
    return {
        name: value
        for name, value in _leaves(values, separator)
        if not isinstance(value, bool | str) and value is not None and hasattr(value, "__float__")
    }


def parameters(values: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """Every value of nested mappings by the names that lead to it; lists stay whole."""
    return {name: plain(value) for name, value in _leaves(values, separator, into_lists=False)}


def options_of(settings: Any) -> dict[str, Any]:
    """The fields of a dataclass of options as parameters; where things lie on this machine stays here.

    Args:
        settings: An instance of a dataclass.
    """
    fields = dataclasses.asdict(settings)
    return {name: _place(value) for name, value in fields.items()}


def _place(value: Any) -> Any:
    """A path as it was given if it is relative, else its last part."""
    if isinstance(value, Path):
        return value.name if value.is_absolute() else value.as_posix()
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value


def _leaves(value: Any, separator: str, into_lists: bool = True, name: str = "") -> Iterator[tuple[str, Any]]:
    inner: Any = None
    if isinstance(value, Mapping):
        inner = value.items()
    elif into_lists and isinstance(value, list | tuple):
        ends = name.endswith(f"{separator}interval") and len(value) == 2
        inner = zip(("low", "high"), value, strict=True) if ends else enumerate(value)
    if inner is None:
        yield name, value
        return
    for key, one in inner:
        yield from _leaves(one, separator, into_lists, f"{name}{separator}{key}" if name else str(key))
