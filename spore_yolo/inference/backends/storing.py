"""The exported files in a pair's folder: put there whole or not at all, and checked before they are used."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from spore_yolo.files.atomic import atomic_folder
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.hashes import sha256_file
from spore_yolo.files.structured import write_yaml
from spore_yolo.inference.backends.machine import same_kind
from spore_yolo.inference.manifest import MANIFEST, BackendPart, PairManifest, Verification, read_manifest


def checkpoints_of(manifest: PairManifest) -> dict[str, str]:
    """The SHA-256 of the pair's checkpoints, as :attr:`BackendPart.made_from` keeps it."""
    digests = {"detector": manifest.detector.sha256}
    if manifest.classifier is not None:
        digests["classifier"] = manifest.classifier.sha256
    return digests


def export_command(folder: Path, manifest: PairManifest, backend: str) -> str:
    """The command that puts a backend into a pair."""
    base, _, precision = backend.partition("-")
    made = manifest.made.get("detector")
    dataset = made.get("dataset", "NAME") if isinstance(made, dict) else "NAME"
    flag = f" --{precision}" if precision else ""
    return f"spore-yolo export-model --pair {folder} --backend {base}{flag} --dataset {dataset}"


def backend_files(folder: Path, manifest: PairManifest, backend: str) -> tuple[Path, Path | None]:
    """The detector's and the classifier's file for a backend, if they are what the manifest speaks of.

    Args:
        folder: The pair's folder.
        manifest: What the pair says of itself.
        backend: The name of the backend, not ``torch``.

    Raises:
        UsageError: The pair was not exported for it.
        SporeYoloError: A file is missing or damaged, or was made from other checkpoints than the pair's.
    """
    command = export_command(folder, manifest, backend)
    part = manifest.backends.get(backend)
    if part is None:
        known = ", ".join(["torch", *manifest.backends])
        raise UsageError(f"{folder}: the pair has no {backend}, it has {known}; export it: {command}")
    if part.made_from != checkpoints_of(manifest):
        raise SporeYoloError(
            f"{folder}: {backend} was exported from another detector or classifier than the pair has now; export it"
            f" again: {command}"
        )
    loaded = [part.detector, *([part.classifier] if part.classifier else [])]
    wanted = {*loaded, *(str(Path(name).with_suffix(".bin")) for name in loaded if name.endswith(".xml"))}
    if not wanted <= set(part.files) or (part.classifier is None) != (manifest.classifier is None):
        raise SporeYoloError(
            f"{folder / MANIFEST}: backends.{backend}.files: expected {', '.join(sorted(wanted))}, found"
            f" {', '.join(part.files)}; export it again: {command}"
        )
    for name, digest in part.files.items():
        if Path(name).name != name or name in ("", ".", ".."):
            raise SporeYoloError(f"{folder / MANIFEST}: backends.{backend}.files: expected file names, found {name!r}")
        if not (folder / name).is_file():
            raise SporeYoloError(
                f"{folder / name}: no such file; copy the pair whole, or export {backend} again: {command}"
            )
        if sha256_file(folder / name) != digest:
            raise SporeYoloError(
                f"{folder / name}: not the file that {MANIFEST} speaks of (its SHA-256 differs); it is damaged or from"
                f" another pair, copy the pair again, or export {backend} again: {command}"
            )
    return folder / part.detector, folder / part.classifier if part.classifier else None


def add_backend(folder: Path, backend: str, part: BackendPart, exported: Path) -> None:
    """Puts a backend's files into a pair's folder, which is replaced as a whole or not at all.

    What else the pair holds stays; backends that were made from other checkpoints go.

    Args:
        folder: The pair's folder.
        backend: The name of the backend.
        part: What the manifest says of it.
        exported: The folder with its files.

    Raises:
        SporeYoloError: The pair was made anew since the files were exported.
    """
    folder = folder.resolve()  # a link to a folder stays one
    manifest = read_manifest(folder)
    if part.made_from != checkpoints_of(manifest):
        raise SporeYoloError(f"{folder}: the pair was trained anew meanwhile; export it again")
    others = {name: other for name, other in manifest.backends.items() if name != backend and _agree(other, part)}
    backends = {**others, backend: part}
    unused = {name for other in manifest.backends.values() for name in other.files}
    unused -= {name for other in backends.values() for name in other.files}
    with atomic_folder(folder) as temporary:
        shutil.copytree(folder, temporary, symlinks=True, copy_function=_link, dirs_exist_ok=True)
        for name in part.files:
            (temporary / name).unlink(missing_ok=True)  # a hard link would be written through
            shutil.copyfile(exported / name, temporary / name)
        for name in unused:
            if Path(name).name == name:
                (temporary / name).unlink(missing_ok=True)
        _write(temporary, manifest.model_copy(update={"backends": backends}))


def add_verification(folder: Path, backend: str, verification: Verification) -> None:
    """Adds what a backend gave on one machine to ``pair.yaml``; it replaces what it gave there before.

    Raises:
        SporeYoloError: The pair was made or exported anew meanwhile.
    """
    manifest = read_manifest(folder)
    part = manifest.backends.get(backend)
    if part is None or part.made_from != checkpoints_of(manifest):
        raise SporeYoloError(f"{folder}: the pair was made anew meanwhile; export it again")
    updated = part.model_copy(update={"verified": with_record(part.verified, verification, backend)})
    _write(folder, manifest.model_copy(update={"backends": {**manifest.backends, backend: updated}}))


def with_record(records: list[Verification], new: Verification, backend: str) -> list[Verification]:
    """The records with a new one in place of that of the same machine and versions."""
    kept = [
        record
        for record in records
        if record.versions != new.versions or not same_kind(record.machine, new.machine, backend == "tensorrt")
    ]
    return [*kept, new]


def _agree(other: BackendPart, part: BackendPart) -> bool:
    """Whether another backend is of the same checkpoints, and a file that both use is the same."""
    shared = set(other.files) & set(part.files)
    return other.made_from == part.made_from and all(other.files[name] == part.files[name] for name in shared)


def _link(source: str, target: str) -> str:
    """A second name for a file where the disk can, else a copy."""
    with contextlib.suppress(OSError):
        os.link(source, target)
        return target
    shutil.copy2(source, target)
    return target


def _write(folder: Path, manifest: PairManifest) -> None:
    write_yaml(folder / MANIFEST, manifest.model_dump(by_alias=True, mode="json"))
