"""YAML files, read safely and with errors that name the line."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from spore_yolo.files.atomic import write_text
from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError

Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path) -> Any:
    """Reads a YAML file; no tags of Python objects are followed.

    Raises:
        SporeYoloError: The file is missing or is not YAML; the message names the line.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SporeYoloError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise SporeYoloError(f"{path}: expected a YAML file in UTF-8, found other bytes ({error})") from None
    except ValueError as error:  # a date that no calendar has
        raise InputProblems("A YAML file cannot be read:", [Problem(path, None, str(error))]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        message = getattr(error, "problem", None) or "not valid YAML"
        raise InputProblems("A YAML file cannot be read:", [Problem(path, line, str(message))]) from None


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
    """One readable problem for each wrong field."""
    return [
        Problem(
            path,
            None,
            f"{'.'.join(str(part) for part in item['loc']) or 'the file'}: {item['msg']} (found {item['input']!r:.80})",
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
