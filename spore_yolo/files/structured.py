"""YAML files, read safely and with errors that name the line.

Class names and class maps come from anyone. What a file can cost is bounded: a few kilobytes of YAML may name the same
list a billion times, and nesting costs the square of its depth.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from spore_yolo.files.atomic import write_text
from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError

Model = TypeVar("Model", bound=BaseModel)

MAX_YAML_BYTES = 8 * 1024**2
"""Size of the largest YAML file that is read; a register of a thousand datasets has less than one megabyte."""

USER_INFO = re.compile(r"(?<=://)[^/\s'\"]*@")
"""User and password of an address."""

MAX_YAML_NODES = 200_000
"""Most values of a YAML file, those that aliases repeat counted each time: the names of 100,000 classes."""

MAX_YAML_DEPTH = 100
"""How deep lists and mappings may lie in each other."""

MAX_PLAIN = 3000
"""Letters of the longest value without quotes; a number of as many digits is nothing that Python can print."""

# The reader in C does the same as SafeLoader, ten times as fast; wheels of PyYAML have it, its source needs libyaml.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path) -> Any:
    """Reads a YAML file; no tags of Python objects are followed.

    Raises:
        SporeYoloError: The file is missing, too large or not YAML; the message names the line.
    """
    return parse_yaml(path, _read_text(path))


def parse_yaml(path: Path, text: str) -> Any:
    """Reads the text of a YAML file, as :func:`read_yaml` does.

    Args:
        path: The file, for messages.
        text: Its content.

    Raises:
        SporeYoloError: It is not YAML; the message names the line.
    """
    try:
        _check_bounds(path, text)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        message = getattr(error, "problem", None) or "not valid YAML"
        raise _unreadable(path, line, str(message)) from None
    except SporeYoloError:
        raise
    except Exception as error:  # a date that no calendar has; a tag such as !!int before something else
        raise _unreadable(path, None, f"a value is not what it looks like ({error})") from None


def _read_text(path: Path) -> str:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "something else" if path.exists() else ""
        raise SporeYoloError(f"{path}: expected a YAML file, found {found}" if found else f"{path}: no such file")
    size = path.stat().st_size
    if size > MAX_YAML_BYTES:
        raise SporeYoloError(
            f"{path}: expected a YAML file of at most {MAX_YAML_BYTES // 1024**2} MB, found {size / 1024**2:,.0f} MB"
        )
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SporeYoloError(f"{path}: expected a YAML file in UTF-8, found other bytes ({error})") from None


def _check_bounds(path: Path, text: str) -> None:
    """Makes sure that a YAML text is small also with its aliases written out, before anything is made of it."""
    nodes = 0
    begun: list[tuple[str | None, int]] = []
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in begun):
                raise _unreadable(path, line, f"*{event.anchor} stands within itself")
            nodes += sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            if event.anchor:
                sizes[event.anchor] = 1
            quoted = event.implicit[1]  # without a tag, and with quotes: this is text
            if not quoted and len(event.value) > MAX_PLAIN:
                message = f"a value of {len(event.value):,} letters; put it in quotes if it is text"
                raise _unreadable(path, line, message)
        elif isinstance(event, yaml.CollectionStartEvent):
            begun.append((event.anchor, nodes))
            nodes += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = begun.pop()
            if anchor:
                sizes[anchor] = nodes - before
        if nodes > MAX_YAML_NODES:
            raise _unreadable(path, line, f"expected at most {MAX_YAML_NODES:,} values, found more")
        if len(begun) > MAX_YAML_DEPTH:
            raise _unreadable(path, line, f"expected at most {MAX_YAML_DEPTH} lists within each other, found more")


def _unreadable(path: Path, line: int | None, message: str) -> InputProblems:
    return InputProblems("A YAML file cannot be read:", [Problem(path, line, message)])


def read_model(path: Path, model: type[Model]) -> Model:
    """Reads a YAML file into a pydantic model; every wrong field is listed at once.

    Raises:
        SporeYoloError: The file is missing, is not YAML, or does not have the fields of ``model``.
    """
    return parse_model(path, model, read_yaml(path))


def parse_model(path: Path, model: type[Model], content: Any) -> Model:
    """Turns the content of a YAML file into a pydantic model; every wrong field is listed at once.

    Raises:
        InputProblems: It does not have the fields of ``model``.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InputProblems(f"{path} does not have the expected form:", problems_of(error, path)) from None


def problems_of(error: ValidationError, path: Path | str) -> list[Problem]:
    """One readable problem for each wrong field; of an address that was found, user and password are not told."""
    return [
        Problem(
            path,
            None,
            f"{'.'.join(str(part) for part in item['loc']) or 'the file'}: {item['msg'].removeprefix('Value error, ')}"
            f" (found {USER_INFO.sub('...@', repr(item['input'])):.80})",
        )
        for item in error.errors()
    ]


def read_pairs(path: Path, key: str, value: str) -> dict[str, str]:
    """Reads two columns of a CSV file with a header as a mapping.

    Raises:
        SporeYoloError: The file is missing, is no CSV, or lacks a column.
        InputProblems: A key stands there twice with different values.
    """
    pairs: dict[str, str] = {}
    problems = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = list(reader.fieldnames or [])
            if not {key, value} <= set(columns):
                found = ",".join(columns) or "none"
                raise SporeYoloError(f"{path}:1: expected the columns {key},{value}, found {found}")
            for row in reader:
                one, other = row[key] or "", row[value] or ""
                if pairs.setdefault(one, other) != other:
                    problems.append(Problem(path, reader.line_num, f"{key} {one} is in {other} and in {pairs[one]}"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise SporeYoloError(f"{path}: expected a CSV file with the columns {key},{value}: {reason}") from None
    if problems:
        raise InputProblems("A table contradicts itself:", problems)
    return pairs


def write_yaml(path: Path, value: Any, header: str = "") -> None:
    """Writes a JSON-like value as YAML, keys in the order given, whole or not at all."""
    body = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    write_text(path, header + body)
