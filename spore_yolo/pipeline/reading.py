"""Reads ``pipeline.yaml`` and ``predict_pipeline.yaml``, by themselves and for Metaflow.

Every error of a file is told at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError, UsageError
from spore_yolo.files.structured import parse_yaml, problems_of
from spore_yolo.pipeline.configuration import (
    PREDICTION_FILE,
    TRAINING_FILE,
    PredictionConfiguration,
    TrainingConfiguration,
)
from spore_yolo.pipeline.engines import resumes
from spore_yolo.pipeline.machines import FlowConfiguration
from spore_yolo.pipeline.stores import of_variables

Configuration = TypeVar("Configuration", bound=FlowConfiguration)


def read_configuration(text: str, form: type[Configuration], path: Path) -> Configuration:
    """Reads a configuration.

    Args:
        text: Content of the file.
        form: What it must be.
        path: The file, for messages.

    Raises:
        InputProblems: It is not; every wrong field is named.
    """
    content = parse_yaml(path, text)
    try:
        return form.model_validate(content)
    except ValidationError as error:
        raise InputProblems(f"{path} does not have the expected form:", _with_lines(error, path, text)) from None


def _with_lines(error: ValidationError, path: Path, text: str) -> list[Problem]:
    """The problems, each with the line of its field, or of the closest part of the file that is there."""
    import yaml

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    problems = []
    for item, problem in zip(error.errors(), problems_of(error, path), strict=True):
        problems.append(Problem(path, _line_of(root, item["loc"]), problem.message))
    return sorted(problems, key=lambda problem: problem.line or 0)


def _line_of(node: Any, place: tuple[int | str, ...]) -> int | None:
    import yaml

    line = None
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(part)]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def parse_training(text: str) -> dict[str, Any]:
    """What Metaflow calls to read ``pipeline.yaml``, where a flow is started or deployed; its steps get the result."""
    return _for_metaflow(lambda: of_variables(read_configuration(text, TrainingConfiguration, _named(TRAINING_FILE))))


def parse_training_line(text: str) -> dict[str, Any]:
    """What Metaflow calls to read ``pipeline.yaml`` for a flow that makes one pair."""

    def read() -> TrainingConfiguration:
        path = _named(TRAINING_FILE)
        configuration = read_configuration(text, TrainingConfiguration, path)
        recipes, seeds = len(configuration.recipes), len(configuration.seeds)
        if recipes * seeds != 1:
            raise UsageError(
                f"{path}: expected one recipe and one seed, since Airflow does not take branches of many steps; found"
                f" {recipes} recipes and {seeds} seeds. Use one configuration for each, or Argo Workflows"
            )
        return of_variables(configuration)

    return _for_metaflow(read)


def parse_prediction(text: str) -> dict[str, Any]:
    """What Metaflow calls to read ``predict_pipeline.yaml``."""
    return _for_metaflow(lambda: read_configuration(text, PredictionConfiguration, _named(PREDICTION_FILE)))


def _for_metaflow(read: Callable[[], FlowConfiguration]) -> dict[str, Any]:
    """The configuration as plain values; a wrong one ends the program before Metaflow begins.

    ``resume`` goes on with the configuration that its run began with. Metaflow has the file read all the same and then
    throws the result away, so it is not even looked at.
    """
    if resumes(sys.argv):
        return {}
    try:
        return read().model_dump(mode="json")
    except SporeYoloError as error:
        print(f"spore-yolo: error: {error}", file=sys.stderr)
        raise SystemExit(UsageError.exit_code) from None


def _named(default: Path) -> Path:
    """The file that ``--config config FILE`` named on the command line; Metaflow hands on its content alone."""
    words = sys.argv
    for place, word in enumerate(words[:-2]):
        if word == "--config" and words[place + 1] == "config":
            return Path(words[place + 2])
    return default
