"""The first step of the training flow: what a configuration asks for is looked at before anything is done."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spore_yolo.dataset.groups import is_table
from spore_yolo.dataset.split import parse_shares, read_split
from spore_yolo.files.errors import InputProblems, Problem, SporeYoloError
from spore_yolo.files.lake import Lake, RemotePath, is_remote
from spore_yolo.files.provenance import code_commit, package_versions
from spore_yolo.files.structured import read_pairs
from spore_yolo.labels.class_map import ClassMap
from spore_yolo.pipeline.configuration import Recipe, TrainingConfiguration
from spore_yolo.pipeline.loading import check_codes
from spore_yolo.pipeline.workplace import beneath, brought

PLACE = "the configuration"
"""What problems name as their file: a step is handed the content alone."""


@dataclass(frozen=True)
class Branch:
    """One pair to make.

    Attributes:
        recipe: Name of the recipe.
        seed: The seed.
        run: Address of its run's folder.
    """

    recipe: str
    seed: int
    run: str

    @property
    def label(self) -> str:
        """How tables call it."""
        return f"{self.recipe}, seed {self.seed}"


def begin(configuration: TrainingConfiguration, run_id: str) -> dict[str, Any]:
    """Checks what the configuration asks for, and notes with what the run is done.

    Args:
        configuration: The configuration.
        run_id: The flow's run, as Metaflow calls it.

    Returns:
        ``name`` of the run, ``commit``, ``versions``, ``machine``, and the ``configuration`` in plain values.

    Raises:
        InputProblems: Things that the configuration names are not there, or do not fit; all of them at once.
    """
    problems = [Problem(PLACE, None, message) for message in _problems(configuration)]
    if problems:
        raise InputProblems(
            f"The configuration asks for what cannot be done ({len(problems)} problem{'s' * (len(problems) > 1)});"
            " nothing was begun:",
            problems,
        )
    labels = [branch.label for branch in branches(configuration, run_id)]
    print(f"to make: {len(labels)} pair{'s' * (len(labels) > 1)}: {'; '.join(labels)}")
    return {
        "name": f"{configuration.name}-{run_id}",
        "commit": code_commit(),
        "versions": package_versions(),
        "machine": f"{platform.system()} {platform.machine()}",
        "configuration": configuration.model_dump(mode="json"),
    }


def branches(configuration: TrainingConfiguration, name: str) -> list[Branch]:
    """The pairs to make, each with a folder of its own; its name tells recipe and seed where there are several.

    Args:
        configuration: The configuration.
        name: The run's name.
    """
    several, seeds = len(configuration.recipes) > 1, len(configuration.seeds) > 1
    return [
        Branch(recipe, seed, beneath(configuration.runs, name + f"-{recipe}" * several + f"-s{seed}" * seeds))
        for recipe in configuration.recipes
        for seed in configuration.seeds
    ]


def _problems(configuration: TrainingConfiguration) -> Iterator[str]:
    """What is wrong, a line each."""
    data = configuration.data
    for key in ("images", "labels"):
        yield from _missing(configuration, f"data.{key}", getattr(data, key))
    if data.classes is not None:
        yield from _file(configuration, "data.classes", data.classes, ClassMap.read)
    if data.group_by is not None and is_table(data.group_by):
        yield from _file(configuration, "data.group_by", data.group_by, lambda path: read_pairs(path, "image", "group"))
    elif data.group_by is not None:
        yield from _said("data.group_by", lambda: _with_a_bracket(str(data.group_by)))
    if data.split.lower().endswith(".csv"):
        yield from _file(configuration, "data.split", data.split, read_split)
    else:
        yield from _said("data.split", lambda: parse_shares(data.split))
    yield from _said("data.allow", lambda: check_codes(data))
    for name, recipe in configuration.recipes.items():
        yield from _problems_of_recipe(configuration, f"recipes.{name}", recipe)


def _problems_of_recipe(configuration: TrainingConfiguration, name: str, recipe: Recipe) -> Iterator[str]:
    from spore_yolo.training.classifier import STRIDE
    from spore_yolo.training.classifier import check_settings as check_classifier
    from spore_yolo.training.detector import check_settings as check_detector

    detector = recipe.detector_options("dataset", Path(configuration.datasets), 0)
    classifier = recipe.classifier_options("dataset", Path(configuration.datasets), 0)
    checks: dict[str, tuple[Any, Callable[[Any], None]]] = {
        "detector": (detector.training(), check_detector),
        "classifier": (classifier.training(classifier.crop_size or STRIDE), check_classifier),
    }
    from dataclasses import replace

    for part, (settings, look) in checks.items():
        weights = settings.weights
        if weights not in (None, "sample", "scratch"):
            yield from _missing(configuration, f"{name}.{part}.weights", weights)
        # Devices are those of the machine that trains, which may be another one.
        plain = replace(settings, weights=None, device=settings.device if configuration.compute == "local" else None)
        yield from _said(f"{name}.{part}", lambda look=look, plain=plain: look(plain))  # type: ignore[misc]
        yield from _unknown_settings(f"{name}.{part}.ultralytics", settings.extra)


def _unknown_settings(name: str, extra: Mapping[str, Any]) -> Iterator[str]:
    if extra:
        from spore_yolo.inference.ultralytics_setup import import_ultralytics

        import_ultralytics()
        from ultralytics.utils import DEFAULT_CFG_DICT

        unknown = sorted(set(extra) - set(DEFAULT_CFG_DICT))
        if unknown:
            yield f"{name}: expected settings of Ultralytics, found {', '.join(unknown)}"


def _with_a_bracket(pattern: str) -> None:
    try:
        brackets = re.compile(pattern).groups
    except re.error as error:
        raise SporeYoloError(f"expected a regular expression, found {pattern!r} ({error})") from None
    if not brackets:
        raise SporeYoloError(f"expected a bracket round what is the group, as in '(trap[0-9]+)', found {pattern!r}")


def _missing(configuration: TrainingConfiguration, name: str, address: str | None) -> Iterator[str]:
    """Tells where there is nothing, or what other machines do not see."""
    if address is None:
        return
    if is_remote(address):
        try:
            if not Lake().exists(RemotePath.parse(address)):
                yield f"{name}: {address}: no such file or folder in the bucket"
        except SporeYoloError as error:
            yield f"{name}: {error}"
    elif configuration.compute != "local":
        yield (
            f"{name}: expected an s3:// address, found {address}: compute: {configuration.compute} runs steps on"
            " machines that do not see this one's disk"
        )
    elif not Path(address).exists():
        yield f"{name}: {address}: no such file or folder"


def _file(
    configuration: TrainingConfiguration, name: str, address: str, read: Callable[[Path], object]
) -> Iterator[str]:
    """Tells why a file that the configuration names is not there, or cannot be read."""
    missing = list(_missing(configuration, name, address))
    yield from missing
    if not missing:
        yield from _said(name, lambda: read(brought(address)))


def _said(name: str, look: Callable[[], object]) -> Iterator[str]:
    """What a look says when it fails."""
    try:
        look()
    except SporeYoloError as error:
        yield f"{name}: {str(error).replace(chr(10), ' ')}"
