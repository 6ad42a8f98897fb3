"""``spore-yolo pretrain``: the weights that the program brings along, trained on drawn slides."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from spore_yolo.cli.lake_places import readable_text, writable
from spore_yolo.cli.options import Commands, add_command, positive, whole_number

if TYPE_CHECKING:
    from spore_yolo.training.classifier import ClassifierSettings
    from spore_yolo.training.detector import TrainingSettings

EXAMPLES = """\
  spore-yolo pretrain --output runs/pretraining
  spore-yolo pretrain --output runs/pretraining-gpu --tiles 60000 --device 0 --batch 64
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "pretrain",
        "Train a detector and a classifier on drawn slides: a start where pretrained weights are out of reach.",
        EXAMPLES,
    )
    parser.add_argument(
        "--output", type=writable, required=True, help="folder of the pretraining; the weights lie in it"
    )
    parser.add_argument("--part", choices=["detector", "classifier"], help="only one of the two (default: both)")
    parser.add_argument("--tiles", type=whole_number, default=8000, help="tiles to draw (default: %(default)s)")
    parser.add_argument("--tile-size", type=whole_number, default=416, help="side of a tile (default: %(default)s)")
    parser.add_argument(
        "--fields", type=whole_number, default=2000, help="fields to cut crops from (default: %(default)s)"
    )
    parser.add_argument("--taxa", type=whole_number, default=48, help="taxa of the classifier (default: %(default)s)")
    parser.add_argument("--crop-size", type=whole_number, default=64, help="side of a crop (default: %(default)s)")
    parser.add_argument(
        "--minutes", type=positive, default=60.0, help="training of the detector (default: %(default)g)"
    )
    parser.add_argument(
        "--classifier-minutes", type=positive, default=10.0, help="training of the classifier (default: %(default)g)"
    )
    parser.add_argument(
        "--weights", type=readable_text, help="a checkpoint to start the detector from (default: from scratch)"
    )
    parser.add_argument("--batch", type=whole_number, default=16, help="tiles a step (default: %(default)s)")
    parser.add_argument("--device", help="cpu, mps, or the number of a GPU (default: a GPU where there is one)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Draws, trains, and writes the weights with a record of how they were made."""
    from spore_yolo.files.errors import UsageError
    from spore_yolo.training import classifier, detector

    output: Path = arguments.output
    if output.exists() and any(output.iterdir()):
        raise UsageError(f"--output: {output} exists and is not empty; choose another folder")
    # What the classifier cannot do must not show only when the detector is done.
    detector.check_settings(detector_settings(arguments))
    classifier.check_settings(classifier_settings(arguments))
    output.mkdir(parents=True, exist_ok=True)
    if arguments.part in (None, "detector"):
        pretrain_detector(arguments, output)
    if arguments.part in (None, "classifier"):
        pretrain_classifier(arguments, output)


def detector_settings(arguments: argparse.Namespace) -> TrainingSettings:
    """How the detector is trained."""
    from spore_yolo.training.detector import TrainingSettings
    from spore_yolo.training.starting import SCRATCH

    return TrainingSettings(
        weights=arguments.weights or SCRATCH,
        tile_size=arguments.tile_size,
        minutes=arguments.minutes,
        batch=arguments.batch,
        device=arguments.device,
        seed=arguments.seed,
        extra={"mosaic": 0.0},
    )


def classifier_settings(arguments: argparse.Namespace) -> ClassifierSettings:
    """How the classifier is trained."""
    from spore_yolo.training.classifier import ClassifierSettings
    from spore_yolo.training.starting import SCRATCH

    return ClassifierSettings(
        weights=SCRATCH,
        crop_size=arguments.crop_size,
        minutes=arguments.classifier_minutes,
        device=arguments.device,
        seed=arguments.seed,
        extra={"val": True},
    )


def pretrain_detector(arguments: argparse.Namespace, output: Path) -> None:
    """Draws tiles, trains the detector on them and writes it with its record."""
    import shutil

    from spore_yolo.dataset.pretraining import draw_tiles
    from spore_yolo.training.checkpoint import finish_checkpoint
    from spore_yolo.training.detector import train_detector
    from spore_yolo.training.starting import shipped_weights

    counts = (arguments.tiles, max(64, arguments.tiles // 20))
    tiles = draw_tiles(output / "tiles", counts, arguments.tile_size, arguments.seed)
    trained = train_detector(detector_settings(arguments), tiles, output)
    target = output / shipped_weights(classifier=False).name
    finish_checkpoint(trained.checkpoint, target, 640)
    figures = _last_row(output / "detector" / "results.csv")
    record = {
        "start": trained.start,
        "tiles": counts[0],
        "images_seen": trained.images_seen,
        "minutes": round(trained.seconds / 60, 1),
        "drawn validation tiles": counts[1],
        "ap50 on them": figures.get("metrics/mAP50(B)"),
        "recall on them": figures.get("metrics/recall(B)"),
    }
    _write_record(target, arguments, record)
    shutil.rmtree(output / "tiles")


def pretrain_classifier(arguments: argparse.Namespace, output: Path) -> None:
    """Draws crops, trains the classifier on them and writes it with its record."""
    import shutil

    from spore_yolo.dataset.pretraining import draw_crops
    from spore_yolo.training.checkpoint import finish_checkpoint
    from spore_yolo.training.classifier import train_classifier
    from spore_yolo.training.starting import shipped_weights

    counts = (arguments.fields, max(16, arguments.fields // 20))
    crops = draw_crops(output / "crops", arguments.taxa, counts, (0.05, 0.5), arguments.crop_size, arguments.seed)
    trained = train_classifier(classifier_settings(arguments), crops, output / "classifier")
    target = output / shipped_weights(classifier=True).name
    finish_checkpoint(trained.checkpoint, target, arguments.crop_size, "classify", crops.classes)
    figures = _last_row(output / "classifier" / "results.csv")
    record = {
        "start": trained.start,
        "taxa": arguments.taxa,
        "crops": sum(1 for _ in (output / "crops" / "train").rglob("*.png")),
        "crops_seen": trained.crops_seen,
        "minutes": round(trained.seconds / 60, 1),
        "drawn validation crops": sum(1 for _ in (output / "crops" / "val").rglob("*.png")),
        "share named rightly": figures.get("metrics/accuracy_top1"),
    }
    _write_record(target, arguments, record)
    shutil.rmtree(output / "crops")


def _last_row(path: Path) -> dict[str, float]:
    import csv

    with path.open(encoding="utf-8", newline="") as stream:
        rows = [{key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(stream)]
    return {key: round(float(value), 4) for key, value in rows[-1].items()}


def _write_record(target: Path, arguments: argparse.Namespace, record: dict[str, object]) -> None:
    """Writes how the weights were made beside them."""
    from spore_yolo.files.hashes import sha256_file
    from spore_yolo.files.provenance import code_commit, package_versions
    from spore_yolo.files.structured import write_yaml

    options = {
        key: value for key, value in vars(arguments).items() if key not in ("run", "output", "weights", "device")
    }
    content = {
        "file": target.name,
        "sha256": sha256_file(target),
        "command": "spore-yolo pretrain",
        "options": options,
        **record,
        "versions": package_versions(),
        "commit": code_commit(),
    }
    write_yaml(target.with_suffix(".yaml"), content)
    print(f"\n{target}   the weights; {target.with_suffix('.yaml').name} says how they were made")
