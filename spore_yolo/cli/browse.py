"""``spore-yolo browse``: the App of FiftyOne on labels and on what a pair found."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spore_yolo.cli.options import (
    Commands,
    add_command,
    add_operating_point,
    add_pair,
    add_register,
    candidate_score,
    chosen_pair,
)

if TYPE_CHECKING:
    import socket

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from spore_yolo.dataset.store import Dataset

EXAMPLES = """\
  spore-yolo browse --run runs/magnaporthe --dataset magnaporthe
  spore-yolo browse --pair pairs/rust --dataset rust --split test --no-browser
  spore-yolo browse --dataset rust                       # the labels alone, before any pair is trained
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands, "browse", "Look at labels, detections, misses and false alarms in the browser (FiftyOne).", EXAMPLES
    )
    add_pair(parser, required=False)
    parser.add_argument("--dataset", help="the dataset's name; without it the registered ones are listed")
    parser.add_argument(
        "--split", default="all", choices=["all", "train", "val", "test", "calibration"], help="default: %(default)s"
    )
    add_operating_point(parser)
    parser.add_argument(
        "--at",
        type=candidate_score,
        metavar="SCORE",
        help="lowest detector_score instead of the stored one; thresholds on class_score stay",
    )
    parser.add_argument("--port", type=port_number, help="default: the first free one from 5151 on")
    parser.add_argument(
        "--address",
        default="127.0.0.1",
        help="where to listen (default: %(default)s, this machine only; whoever reaches another can read your files)",
    )
    parser.add_argument("--no-browser", action="store_true", help="only say the address")
    parser.add_argument("--device", help="cpu, 0, mps (default: a GPU where there is one)")
    add_register(parser)
    parser.set_defaults(run=run)


def port_number(text: str) -> int:
    """A port, for argparse."""
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, found {text}")
    return value


def run(arguments: argparse.Namespace) -> None:
    """Shows labels alone, or with them what a pair found, until it is stopped."""
    if arguments.pair is None and arguments.training_run is None:
        _show_labels(arguments)
    else:
        _show_pair(arguments)
    print("stopped; nothing was left running")


def _show_labels(arguments: argparse.Namespace) -> None:
    """Builds the dataset of the labels alone and serves the App."""
    import tempfile

    from spore_yolo.dataset.store import load_dataset
    from spore_yolo.evaluation.fiftyone_app import listen
    from spore_yolo.evaluation.fiftyone_labelled import Labelled, build_labelled
    from spore_yolo.experiments.remembering import copies_for_browser
    from spore_yolo.files.errors import UsageError

    for option in ("operating_point", "at"):
        if getattr(arguments, option) is not None:
            raise UsageError(f"--{option.replace('_', '-')}: goes with --run or --pair; labels alone have no scores")
    dataset = load_dataset(arguments.dataset, arguments.datasets)
    images, boxes = _chosen(dataset, arguments.split)
    slides = [(image, dataset.path_of(image)) for image in images["image"]]
    with (
        listen(arguments.address, arguments.port) as listener,
        tempfile.TemporaryDirectory(prefix="spore-yolo-slides-") as folder,
    ):
        copies = copies_for_browser(Path(folder), slides)
        shown = Labelled(
            boxes=boxes,
            images=images,
            files={
                image: (Path(folder) / copies[image] if image in copies else path).absolute() for image, path in slides
            },
            classes=dataset.classes,
            targets=dataset.targets,
            info={"dataset": dataset.name, "split": arguments.split},
        )
        name = dataset_name(dataset.name, Path("labels"))

        def build(fiftyone: Any) -> Any:
            print(f"laying out {len(boxes):,} labelled boxes on {len(images):,} slides …", flush=True)
            return build_labelled(fiftyone, name, shown)

        _serve(build, name, listener, browser=not arguments.no_browser and _has_display())


def _show_pair(arguments: argparse.Namespace) -> None:
    """Looks at the slides or remembers, builds the dataset, and serves the App."""
    from spore_yolo.dataset.store import load_dataset
    from spore_yolo.evaluation.fiftyone_app import listen
    from spore_yolo.evaluation.fiftyone_boxes import Shown
    from spore_yolo.evaluation.fiftyone_dataset import build_dataset
    from spore_yolo.evaluation.scoring import SPORE
    from spore_yolo.experiments.evaluation_run import comparable
    from spore_yolo.experiments.remembering import features_of, look_once
    from spore_yolo.inference.manifest import read_manifest
    from spore_yolo.inference.pair import pair_folder, read_trained_on
    from spore_yolo.prediction.point import chosen_point

    dataset = load_dataset(arguments.dataset, arguments.datasets)
    images, boxes = _chosen(dataset, arguments.split)
    folder = pair_folder(chosen_pair(arguments))
    manifest = read_manifest(folder)
    boxes, merged = comparable(boxes, dataset, manifest)
    point = chosen_point(manifest, arguments.operating_point, arguments.at)
    with listen(arguments.address, arguments.port) as listener:
        looked = look_once(folder, manifest, dataset, images, arguments.split, arguments.device)
        if looked.since:
            print(
                f"candidates of {len(images):,} slides: as the pair found them on {looked.since}, from {looked.place}"
            )
        for warning in looked.warnings:
            print(warning)
        seen = int(images["sha256"].isin(read_trained_on(folder)).sum())
        if seen:
            print(f"note: {seen:,} of these slides trained the pair or chose its operating point; it knows them")

        def features(crops: pd.DataFrame) -> npt.NDArray[np.floating[Any]]:
            return features_of(looked, folder, dataset, crops, arguments.device)

        shown = Shown(
            candidates=looked.candidates,
            boxes=boxes.assign(sharpness=looked.sharpness),
            images=images,
            files=looked.files,
            classes=[SPORE] if merged else manifest.classes,
            targets=[] if merged else (dataset.targets or manifest.targets),
            point=point,
            features=features if manifest.classifier else None,
            info={
                "dataset": dataset.name,
                "split": arguments.split,
                "pair": str(folder),
                "operating_point_name": arguments.operating_point,
                "warnings": looked.warnings,
            },
        )
        name = dataset_name(dataset.name, folder)

        def build(fiftyone: Any) -> Any:
            labelled, slides = f"{len(boxes):,} labelled boxes", f"{len(images):,} slides"
            print(f"matching {labelled} and what was found on {slides} …", flush=True)
            built = build_dataset(fiftyone, name, shown)
            print(_laid_out(shown.features is not None, **built.info["crops"]))
            return built

        _serve(build, name, listener, browser=not arguments.no_browser and _has_display())


def _serve(build: Callable[[Any], Any], name: str, listener: socket.socket, browser: bool) -> None:
    """Builds the dataset on a database of its own and serves the App until it is stopped."""
    from spore_yolo.evaluation.fiftyone_app import serve_app, url_of
    from spore_yolo.evaluation.fiftyone_database import own_fiftyone

    print("starting FiftyOne …", flush=True)
    with own_fiftyone() as fiftyone:
        dataset = build(fiftyone)
        saved = {"saved views": dataset.list_saved_views(), "workspaces": dataset.list_workspaces()}
        url = url_of(listener, name)

        def ready() -> None:
            for what, names in saved.items():
                if names:
                    print(f"{what}: {', '.join(names)}")
            print(f"\n{url}\n\nthe App is there until Ctrl-C stops it", flush=True)
            if browser:
                webbrowser.open(url)

        # The App takes both signals for itself, but not before it is loaded.
        with contextlib.suppress(KeyboardInterrupt):
            serve_app(listener, ready)


def _laid_out(seen: bool, shown: int, of: int) -> str:
    """What there is in the panel of embeddings."""
    if not seen:
        return "embeddings: none, since the pair has no classifier that could say what looks alike"
    if shown < of:
        return (
            f"embeddings: {shown:,} of {of:,} crops, as many as a browser draws with ease: misses and false alarms"
            " before hits, drawn at random"
        )
    return f"embeddings: {shown:,} crops"


def dataset_name(dataset: str, folder: Path) -> str:
    """The name of the dataset in FiftyOne, of letters, digits and hyphens: it stands in the address."""
    place = folder.resolve()
    pair = place.parent.name if place.name == "pair" else place.name
    return re.sub("[^a-z0-9]+", "-", f"spore-yolo-{dataset}-{pair}".lower()).strip("-")[:100]


def _chosen(dataset: Dataset, split: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Images and boxes of one split, or of all; spare variants of an image are none."""
    from spore_yolo.dataset.split import SPLITS

    if split != "all":
        return dataset.split(split)
    images = dataset.images[dataset.images["split"].isin(SPLITS)]
    return images, dataset.boxes[dataset.boxes["image"].isin(images["image"])]


def _has_display() -> bool:
    """Whether a browser can show; without a screen Python would start one of text, in this very terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
