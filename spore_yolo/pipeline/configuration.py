"""``pipeline.yaml`` and ``predict_pipeline.yaml``: what the flows do; :mod:`spore_yolo.pipeline.reading` reads them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, create_model, field_validator, model_validator

from spore_yolo.experiments.options import ClassifierOptions, DetectorOptions
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.structured import read_yaml
from spore_yolo.labels.formats import AUTO, LABEL_FORMATS
from spore_yolo.pipeline.form import Form
from spore_yolo.pipeline.machines import FlowConfiguration, Machine, Place, check_place
from spore_yolo.pipeline.stores import FlowTrackingSettings, check_store

TRAINING_FILE, PREDICTION_FILE = Path("pipeline.yaml"), Path("predict_pipeline.yaml")

Share = Annotated[float, Field(gt=0, lt=1)]


def _number_as_text(value: object) -> object:
    """The number of a GPU as text, which YAML gives as a number; anything else as it is."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Device = Annotated[str, BeforeValidator(_number_as_text)]
"""``cpu``, ``mps``, or the number of a GPU."""

FROM_FLOW = ("dataset", "datasets", "seed")
"""Options of a training that the flow gives: a recipe is used with any dataset and any seed."""


def _options_form(options: type, name: str) -> type[Form]:
    """The options of a train command as a form, with the same names, types and defaults."""
    from typing import get_type_hints

    types = get_type_hints(options) | {"device": Device | None}
    defaults = {one.name: one for one in fields(options) if one.name not in FROM_FLOW}
    parts: dict[str, Any] = {
        key: (types[key], Field(default_factory=one.default_factory) if callable(one.default_factory) else one.default)
        for key, one in defaults.items()
    }
    return create_model(name, __base__=Form, **parts)


DetectorRecipe = _options_form(DetectorOptions, "DetectorRecipe")
ClassifierRecipe = _options_form(ClassifierOptions, "ClassifierRecipe")


class Recipe(Form):
    """How a pair is made: the options of ``train-detector`` and of ``train-classifier``.

    Attributes:
        detector, classifier: Those that differ from the commands' defaults.
    """

    detector: DetectorRecipe = DetectorRecipe()  # type: ignore[valid-type]
    classifier: ClassifierRecipe = ClassifierRecipe()  # type: ignore[valid-type]

    def detector_options(self, dataset: str, datasets: Path, seed: int) -> DetectorOptions:
        """What the detector is trained with."""
        return DetectorOptions(dataset=dataset, datasets=datasets, seed=seed, **self.detector.model_dump())  # type: ignore[attr-defined]

    def classifier_options(self, dataset: str, datasets: Path, seed: int) -> ClassifierOptions:
        """What the classifier is trained with."""
        return ClassifierOptions(dataset=dataset, datasets=datasets, seed=seed, **self.classifier.model_dump())  # type: ignore[attr-defined]


class Sample(Form):
    """The built-in sample, see ``spore-yolo sample``.

    Attributes:
        fields: How many fields are drawn; with fewer than 12 there are too few groups to split.
        seed: The same seed draws the same files.
    """

    fields: Annotated[int, Field(ge=12)] = 60
    seed: Annotated[int, Field(ge=0)] = 0


class Data(Form):
    """Where slides and labels come from, and how they are imported; see ``spore-yolo import --help``.

    Attributes:
        sample: Draw the built-in sample, in place of ``images`` and ``labels``.
        images, labels: Folder or address of the slides; labels, likewise.
        version: The version of ``images`` that must lie there, by its content hashes; ``None``: what lies there now.
        format, group_by, split, seed, classes, columns, point_size, targets, um_per_px, skip_bad, allow: As for import.
        licence, source: What the register says of the data.
    """

    sample: Sample | None = None
    images: str | None = None
    labels: str | None = None
    version: str | None = None
    format: str = AUTO
    group_by: str | None = None
    split: str = "60,20,20"
    seed: int = 0
    classes: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    point_size: Annotated[float, Field(gt=0)] | None = None
    targets: list[str] = Field(default_factory=list)
    um_per_px: Annotated[float, Field(gt=0)] | None = None
    skip_bad: bool = False
    allow: list[str] = Field(default_factory=list)
    licence: str | None = None
    source: str | None = None

    @field_validator("format")
    @classmethod
    def _is_known(cls, name: str) -> str:
        known = (AUTO, *LABEL_FORMATS)
        if name not in known:
            raise ValueError(f"expected one of {', '.join(known)}")
        return name

    @model_validator(mode="after")
    def _says_where(self) -> Data:
        if self.sample is None and (self.images is None or self.labels is None):
            raise ValueError("expected images and labels, or sample")
        if self.sample is not None and (self.images, self.labels, self.version) != (None, None, None):
            raise ValueError("expected either sample, or images and labels, found both")
        return self


class Calibration(Form):
    """The recall to promise, see ``spore-yolo calibrate --help``.

    Attributes:
        recall: The recall, averaged over groups.
        confidence: How often such a promise is kept.
    """

    recall: Share = 0.95
    confidence: Share = 0.9


class Evaluation(Form):
    """What is measured, see ``spore-yolo evaluate --help``.

    Attributes:
        split: On which split.
        iou: Least IoU of a match.
    """

    split: Literal["val", "test"] = "test"
    iou: Annotated[float, Field(gt=0, le=1)] = 0.5


TRAINING_STEPS = (
    "start",
    "load",
    "check",
    "split",
    "train_detector",
    "mine_crops",
    "train_classifier",
    "calibrate",
    "evaluate",
    "join",
    "end",
)


class TrainingConfiguration(FlowConfiguration):
    """``pipeline.yaml``.

    Attributes:
        data: Where slides and labels come from.
        dataset: The dataset's name in the register; ``None``: ``name``.
        datasets: The register; may be an ``s3://`` address, as the next two.
        imports: Folder of all imports.
        runs: Folder of all runs.
        recipes: How pairs are made, by name; each may also be the path of a YAML file.
        seeds: Each recipe is trained once with each.
        calibration: What is promised; ``None``: nothing.
        evaluation: What is measured.
        tracking: Where figures go besides the run's folder; ``None``: nowhere.
        device: As torch takes it (``cpu``, ``0``); ``None`` chooses.
        prices_per_hour: What the machine of a step costs an hour, by the step's name, ``default`` for the others;
            without prices the last card tells time alone.
        currency: What prices are stated in.
    """

    data: Data
    dataset: str | None = None
    datasets: Place = "datasets.yaml"
    imports: Place = "data"
    runs: Place = "runs"
    recipes: Annotated[dict[str, Recipe], Field(min_length=1, default_factory=lambda: {"standard": Recipe()})]
    seeds: Annotated[list[int], Field(min_length=1, default_factory=lambda: [0])]
    calibration: Calibration | None = Calibration()
    evaluation: Evaluation = Evaluation()
    tracking: FlowTrackingSettings | None = FlowTrackingSettings()
    device: Device | None = None
    prices_per_hour: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    currency: str = "USD"

    @field_validator("recipes", mode="before")
    @classmethod
    def _reads_files(cls, recipes: Any) -> Any:
        """Puts the content of a recipe's file in its place, so that other machines need no file."""
        if not isinstance(recipes, dict):
            return recipes
        read = {}
        for name, recipe in recipes.items():
            try:
                read[name] = read_yaml(Path(recipe)) if isinstance(recipe, str) else recipe
            except SporeYoloError as error:
                raise ValueError(f"{name}: {error}") from None
        return read

    @field_validator("recipes")
    @classmethod
    def _are_parts_of_folder_names(cls, recipes: dict[str, Recipe]) -> dict[str, Recipe]:
        wrong = [name for name in recipes if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)]
        if wrong:
            raise ValueError(f"expected names of letters, digits, dots, dashes and underscores, found {wrong[0]!r}")
        return recipes

    @field_validator("prices_per_hour")
    @classmethod
    def _are_of_steps(cls, prices: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(prices) - {"default", *cls.steps()})
        if unknown:
            raise ValueError(f"expected steps of the flow ({', '.join(cls.steps())}) or default, found {unknown[0]}")
        return prices

    @field_validator("data")
    @classmethod
    def _is_seen_elsewhere(cls, data: Data, info: ValidationInfo) -> Data:
        for place in (data.images, data.labels):
            check_place(place, info)
        return data

    @field_validator("tracking")
    @classmethod
    def _is_reached_from_elsewhere(
        cls, tracking: FlowTrackingSettings | None, info: ValidationInfo
    ) -> FlowTrackingSettings | None:
        if tracking is not None:
            check_store(tracking.mlflow_uri, info)
        return tracking

    @field_validator("seeds")
    @classmethod
    def _differ(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("expected each seed once")
        return seeds

    @classmethod
    def steps(cls) -> tuple[str, ...]:
        """The names of the flow's steps."""
        return TRAINING_STEPS

    @classmethod
    def catchable(cls) -> tuple[str, ...]:
        """The steps of a branch: other recipes and seeds go on without it."""
        return ("train_detector", "mine_crops", "train_classifier", "calibrate", "evaluate")

    def machine(self, step: str) -> Machine:
        """What a step needs; a flow with one branch stops where that fails, so that ``resume`` goes on there."""
        machine = super().machine(step)
        several = len(self.recipes) * len(self.seeds) > 1
        return machine if several else machine.model_copy(update={"catch": False})


class PredictionConfiguration(FlowConfiguration):
    """``predict_pipeline.yaml``; see ``spore-yolo predict --help`` for what decides on the results.

    Attributes:
        pair: The pair's folder or address.
        slides: Files, folders, globs or addresses of the slides.
        output: Folder or address for the results; ``{date}`` in it stands for the day (UTC) on which the flow began.
        force: Whether results that lie there, finished or not, are replaced.
        shards: Into how many parts the slides are dealt, each a task of its own.
        operating_point, at, um_per_px, resample, z, images, backend, batch_size, skip_empty, device: As for predict.
        price_per_hour: What a machine costs an hour, for the estimate; ``None``: no costs are estimated.
        currency: What ``price_per_hour`` is stated in.
        most_cost: No shard is started where the estimate is above this; ``None``: no limit.
        fail_on_failed_slides: Whether the flow ends as failed where slides could not be looked at, so that whoever
            watches it is told; all results are written before.
    """

    pair: Place
    slides: Annotated[list[Place], Field(min_length=1)]
    output: Place
    force: bool = False
    shards: Annotated[int, Field(ge=1, le=1000)] = 4
    operating_point: str | None = None
    at: Annotated[float, Field(ge=0.01, le=1)] | None = None
    um_per_px: Annotated[float, Field(gt=0)] | None = None
    resample: bool = True
    z: Literal["best", "max-contrast"] | Annotated[int, Field(ge=1)] = "best"
    images: bool = True
    backend: str = "auto"
    batch_size: Annotated[int, Field(ge=1)] | None = None
    skip_empty: bool = False
    device: Device | None = None
    price_per_hour: Annotated[float, Field(ge=0)] | None = None
    currency: str = "USD"
    most_cost: Annotated[float, Field(gt=0)] | None = None
    fail_on_failed_slides: bool = False

    @field_validator("backend")
    @classmethod
    def _is_a_backend(cls, name: str) -> str:
        from spore_yolo.inference.backends import BACKENDS  # takes a moment to import

        if name not in ("auto", *BACKENDS):
            raise ValueError(f"expected one of auto, {', '.join(BACKENDS)}")
        return name

    @model_validator(mode="after")
    def _knows_the_cost(self) -> PredictionConfiguration:
        if self.most_cost is not None and self.price_per_hour is None:
            raise ValueError("most_cost: expected price_per_hour, too, from which costs are estimated")
        return self

    @field_validator("slides", mode="before")
    @classmethod
    def _may_be_one(cls, slides: Any) -> Any:
        return [slides] if isinstance(slides, str) else slides

    @classmethod
    def steps(cls) -> tuple[str, ...]:
        """The names of the flow's steps."""
        return ("start", "predict_shard", "join", "end")

    @classmethod
    def catchable(cls) -> tuple[str, ...]:
        """The shards: the others' results are written without one that failed for good."""
        return ("predict_shard",)
