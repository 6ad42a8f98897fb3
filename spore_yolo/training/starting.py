"""Where a training starts from: pretrained weights, those shipped with the program, a checkpoint, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spore_yolo.files.errors import SporeYoloError

SAMPLE = "sample"
"""``--weights sample``: the weights that the program brings along, trained on drawn slides."""

SCRATCH = "scratch"
"""``--weights scratch``: random numbers."""

SHIPPED = Path(__file__).parent / "weights"


def shipped_weights(classifier: bool) -> Path:
    """The file of the shipped weights of a detector (yolov8n) or of a classifier (yolov8n-cls)."""
    return SHIPPED / ("yolov8n-cls-sample.pt" if classifier else "yolov8n-sample.pt")


def check_weights(weights: str | None) -> None:
    """Makes sure that the weights that a user names are there.

    Raises:
        SporeYoloError: They are not.
    """
    if weights in (None, SAMPLE, SCRATCH):
        return
    if not Path(str(weights)).is_file():
        raise SporeYoloError(
            f"--weights: {weights}: no such file; expected a YOLOv8 checkpoint (.pt), or {SAMPLE} or {SCRATCH}"
        )


def starting_model(ultralytics: Any, model: str, weights: str | None, classes: int) -> tuple[Any, str]:
    """A model that is ready to be trained.

    Args:
        ultralytics: The imported package.
        model: Name of the architecture, such as ``yolov8n`` or ``yolov8n-cls``.
        weights: A checkpoint, :data:`SAMPLE`, :data:`SCRATCH`, or ``None`` for Ultralytics' pretrained weights and,
            where these cannot be reached, the shipped ones.
        classes: Number of classes.

    Returns:
        The model, and in words what it starts from.

    Raises:
        SporeYoloError: The weights are missing, damaged, or of another model.
    """
    target = _empty(ultralytics, model, classes)
    classifier = model.endswith("-cls")
    if weights == SCRATCH:
        return target, SCRATCH
    if weights == SAMPLE:
        return _from_shipped(ultralytics, target, model, classifier)
    if weights is not None:
        print(f"note: {weights} is a model file, and loading it runs code in it; use only files you trust")
        fitting, total = _transfer(load_model(ultralytics, Path(weights)), target)
        # The backbone alone is half of a model with a fourth head; of another size hardly anything fits.
        if fitting < total / 3:
            raise SporeYoloError(
                f"--weights: {weights}: only {fitting} of the {total} tensors of {model} fit;"
                " expected a checkpoint of the same model (see --model)"
            )
        return target, f"the weights in {Path(weights).name} ({fitting} of {total} tensors)"
    pretrained = f"{model.removesuffix('-p2')}.pt"
    try:
        # The download goes to a folder of ours, not to wherever the user stands.
        place = Path(ultralytics.settings["weights_dir"]) / pretrained
        fitting, total = _transfer(ultralytics.YOLO(str(place)), target)
    except Exception as error:  # ConnectionError, FileNotFoundError or HTTPError, depending on what is unreachable
        print(f"warning: the pretrained weights {pretrained} cannot be reached ({plain(error)})")
        return _from_shipped(ultralytics, _empty(ultralytics, model, classes), model, classifier)
    return target, f"the pretrained weights {pretrained} ({fitting} of {total} tensors)"


def load_model(ultralytics: Any, path: Path) -> Any:
    """Loads a checkpoint, which runs code in it.

    Raises:
        SporeYoloError: The file is missing or is no checkpoint.
    """
    if not path.is_file():
        raise SporeYoloError(f"{path}: no such file; expected a YOLOv8 checkpoint")
    try:
        model = ultralytics.YOLO(str(path))
        model.model.state_dict()
    except Exception as error:  # torch and pickle raise almost anything for a file that is no checkpoint
        raise SporeYoloError(
            f"{path}: expected a YOLOv8 checkpoint, found something else or a damaged one ({plain(error)})"
        ) from error
    return model


def plain(error: BaseException) -> str:
    """An error's text on one line of bearable length."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _empty(ultralytics: Any, model: str, classes: int) -> Any:
    from ultralytics.nn.tasks import ClassificationModel, DetectionModel

    network = ClassificationModel if model.endswith("-cls") else DetectionModel
    built = ultralytics.YOLO(f"{model}.yaml")
    # The width of a detector's class branch depends on the number of classes; built for COCO's 80 it would not take the
    # weights of a detector with few.
    built.model = network(f"{model}.yaml", nc=classes, verbose=False)
    return built


def _from_shipped(ultralytics: Any, target: Any, model: str, classifier: bool) -> tuple[Any, str]:
    path = shipped_weights(classifier)
    theirs, ours = load_model(ultralytics, path).model.state_dict(), target.model.state_dict()
    if _fitting(theirs, ours) < len(ours) / 3:
        print(
            f"warning: the shipped weights are of {path.stem.removesuffix('-sample')} and do not fit {model}; training"
            " from scratch, which needs many times as long. Give a checkpoint with --weights."
        )
        return target, SCRATCH
    fitting, total = _transfer(load_model(ultralytics, path), target)
    return target, f"the shipped weights {path.name}, last trained on drawn slides ({fitting} of {total} tensors)"


def _fitting(theirs: dict[str, Any], ours: dict[str, Any]) -> int:
    return sum(name in theirs and theirs[name].shape == tensor.shape for name, tensor in ours.items())


def _transfer(source: Any, target: Any) -> tuple[int, int]:
    """Loads what fits; returns how many tensors did, and how many the model has."""
    ours = target.model.state_dict()
    fitting = _fitting(source.model.state_dict(), ours)
    target.load(source.model)
    return fitting, len(ours)
