"""``spore-yolo export-model``: a pair's networks for a faster backend, compared with torch before they are kept."""

from __future__ import annotations

import argparse
import datetime
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spore_yolo.cli.options import Commands, add_command, add_pair, add_register, chosen_pair

if TYPE_CHECKING:
    from spore_yolo.cli.backend_verification import Labelled
    from spore_yolo.dataset.store import Dataset
    from spore_yolo.inference.backends.packages import Backend
    from spore_yolo.inference.manifest import BackendPart, PairManifest

EXAMPLES = """\
  spore-yolo export-model --run runs/rust --backend openvino --dataset rust
  spore-yolo export-model --pair pairs/rust --backend openvino --int8 --dataset rust
  spore-yolo export-model --pair pairs/rust --backend openvino --int8 --dataset rust --verify-only
  spore-yolo predict --pair pairs/rust --backend auto --source slides/ --output found/
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "export-model",
        "Export a pair for a faster backend, and keep it if it finds what torch finds.",
        EXAMPLES,
    )
    add_pair(parser, writes=True)
    parser.add_argument("--backend", required=True, choices=["onnxruntime", "openvino", "tensorrt"])
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument(
        "--bf16", dest="precision", action="store_const", const="bf16", help="openvino: compute in bfloat16"
    )
    precision.add_argument(
        "--int8",
        dest="precision",
        action="store_const",
        const="int8",
        help="openvino: 8 bits, with ranges from tiles of the training split",
    )
    parser.add_argument(
        "--dataset",
        help="what the pair was trained on; its validation split is compared on. Without it the registered are listed",
    )
    parser.add_argument(
        "--verify-only", action="store_true", help="export nothing; compare what the pair holds on this machine"
    )
    parser.add_argument(
        "--allow-drop",
        action="store_true",
        help="keep it however much worse it is; --backend auto does not take it then",
    )
    parser.add_argument("--seed", type=int, default=0, help="chooses the tiles for --int8 (default: %(default)s)")
    parser.add_argument("--device", help="the GPU for tensorrt, such as 0; the others are compared on the CPU")
    add_register(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Exports, compares, and puts the backend into the pair or says why not."""
    from spore_yolo.cli.backend_verification import SPLIT, Labelled
    from spore_yolo.dataset.store import load_dataset
    from spore_yolo.experiments.evaluation_run import comparable
    from spore_yolo.files.errors import SporeYoloError
    from spore_yolo.inference.backends.packages import can_run
    from spore_yolo.inference.manifest import read_manifest
    from spore_yolo.inference.pair import pair_folder

    backend = _backend(arguments)
    dataset = load_dataset(arguments.dataset, arguments.datasets)
    images, boxes = dataset.split(SPLIT)
    folder = pair_folder(chosen_pair(arguments))
    manifest = read_manifest(folder)
    labelled = Labelled(dataset, images, comparable(boxes, dataset, manifest)[0])
    reason = can_run(backend)
    if reason is not None:
        raise SporeYoloError(f"{backend} does not run here: {reason}")
    if arguments.verify_only:
        _verify_again(folder, manifest, backend, labelled, arguments)
        return
    with tempfile.TemporaryDirectory(prefix="spore-yolo-") as name:
        _export(folder, manifest, backend, labelled, Path(name), arguments)
    print(f"\n{folder}: holds {backend} now")
    print(f"next: spore-yolo predict --pair {folder} --backend {backend} --source SLIDES --output found/")
    print(
        "on another machine compare it there first:"
        f" {_command(folder, arguments)} --verify-only; --backend auto takes what was compared"
    )


def _backend(arguments: argparse.Namespace) -> Backend:
    from spore_yolo.files.errors import UsageError

    name: Backend = arguments.backend
    if arguments.precision is None:
        return name
    if name != "openvino":
        raise UsageError(f"--{arguments.precision}: goes with --backend openvino, found --backend {name}")
    return "openvino-int8" if arguments.precision == "int8" else "openvino-bf16"


def _command(folder: Path, arguments: argparse.Namespace) -> str:
    flag = f" --{arguments.precision}" if arguments.precision else ""
    return f"spore-yolo export-model --pair {folder} --backend {arguments.backend}{flag} --dataset {arguments.dataset}"


def _export(
    folder: Path,
    manifest: PairManifest,
    backend: Backend,
    labelled: Labelled,
    work: Path,
    arguments: argparse.Namespace,
) -> None:
    """Makes the files in a copy of the pair, compares that, and only then touches the pair.

    Raises:
        SporeYoloError: The backend is too much worse.
    """
    from spore_yolo.cli.backend_verification import verification_text, verify
    from spore_yolo.files.errors import SporeYoloError
    from spore_yolo.inference.backends.storing import add_backend, with_record
    from spore_yolo.inference.pair import load

    pair = load(folder, arguments.device)
    for part in (manifest.detector, manifest.classifier):
        if part is not None:
            shutil.copyfile(folder / part.file, work / part.file)
    made = _make_files(pair.folder, manifest, backend, labelled.dataset, work, arguments)
    add_backend(work, backend, made, work)
    verification = verify(work, backend, labelled, arguments.device)
    print(verification_text(backend, verification))
    if not verification.holds and not arguments.allow_drop:
        raise SporeYoloError(
            f"{_fall_text(backend, verification.fall)}; nothing was put into {folder}. Take another precision, or keep"
            " it all the same with --allow-drop"
        )
    old = manifest.backends.get(backend)
    before = old.verified if old is not None and old.files == made.files else []
    kept = made.model_copy(update={"verified": with_record(before, verification, backend)})
    add_backend(folder, backend, kept, work)
    if not verification.holds:
        print(f"warning: {_fall_text(backend, verification.fall)}; --backend auto does not take it")


def _make_files(
    folder: Path, manifest: PairManifest, backend: Backend, dataset: Dataset, work: Path, arguments: argparse.Namespace
) -> BackendPart:
    """Exports both networks into ``work``, which becomes a pair's folder with the manifest."""
    from spore_yolo.cli.quantisation_samples import TILES, as_detector_input, training_tiles
    from spore_yolo.files.hashes import sha256_file
    from spore_yolo.files.provenance import package_versions
    from spore_yolo.files.structured import write_yaml
    from spore_yolo.inference.backends.exporting import export_network
    from spore_yolo.inference.backends.packages import backend_versions
    from spore_yolo.inference.backends.storing import checkpoints_of
    from spore_yolo.inference.manifest import MANIFEST, BackendPart

    detector, classifier = manifest.detector, manifest.classifier
    _reuse(folder, manifest, work)
    plain = manifest.model_copy(update={"backends": {}})
    write_yaml(work / MANIFEST, plain.model_dump(by_alias=True, mode="json"))
    tiles = []
    about: dict[str, Any] = {}
    if backend == "openvino-int8":
        tiles = training_tiles(dataset, detector, TILES, arguments.seed)
        about = {"dataset": dataset.name, "dataset_fingerprint": dataset.fingerprint, "split": "train"}
        about |= {"seed": arguments.seed, "tiles": len(tiles)}
    print(f"exporting the detector for {backend}")
    inputs = [as_detector_input(tile, detector) for tile in tiles]
    names = export_network(folder / detector.file, "detector", detector.tile_size, backend, work, inputs)
    files, of_classifier = list(names), None
    if classifier is not None:
        print(f"exporting the classifier for {backend}")
        # The classifier has little to gain from 8 bits: crops are small.
        rounded = "openvino" if backend == "openvino-int8" else backend
        own = export_network(folder / classifier.file, "classifier", classifier.crop_size, rounded, work)
        files, of_classifier = [*names, *own], own[0]
    return BackendPart(
        detector=names[0],
        classifier=of_classifier,
        files={name: sha256_file(work / name) for name in files},
        made_from=checkpoints_of(manifest),
        made={
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "versions": {**package_versions(), **backend_versions(backend)},
            **({"calibrated_on": about} if about else {}),
        },
    )


def _reuse(folder: Path, manifest: PairManifest, work: Path) -> None:
    """ONNX files that another backend of the pair holds serve this one as well."""
    from spore_yolo.files.errors import SporeYoloError
    from spore_yolo.inference.backends.storing import backend_files

    for name in manifest.backends:
        try:
            for file in backend_files(folder, manifest, name):
                if file is not None and file.suffix == ".onnx":
                    shutil.copyfile(file, work / file.name)
        except SporeYoloError:
            continue  # damaged or of another model: it is exported anew


def _fall_text(backend: str, fall: float) -> str:
    from spore_yolo.inference.manifest import LARGEST_FALL

    return (
        f"with {backend}, AP50 or recall falls by {100 * fall:.2f} points below torch's, expected at most"
        f" {100 * LARGEST_FALL:g}"
    )


def _verify_again(
    folder: Path, manifest: PairManifest, backend: Backend, labelled: Labelled, arguments: argparse.Namespace
) -> None:
    from spore_yolo.cli.backend_verification import verification_text, verify
    from spore_yolo.files.errors import SporeYoloError
    from spore_yolo.inference.backends.storing import add_verification, backend_files

    backend_files(folder, manifest, backend)
    verification = verify(folder, backend, labelled, arguments.device)
    print(verification_text(backend, verification))
    add_verification(folder, backend, verification)
    print(f"\n{folder / 'pair.yaml'}: what {backend} gives on this machine was added")
    if not verification.holds and not arguments.allow_drop:
        raise SporeYoloError(
            f"{_fall_text(backend, verification.fall)}; --backend auto does not take it on a machine like this one"
        )
    print(f"next: spore-yolo predict --pair {folder} --backend auto --source SLIDES --output found/")
