"""What ``spore-yolo predict`` keeps of each slide until all are done: a run that is cut off goes on from there."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from spore_yolo.files.atomic import atomic_file, write_text
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.hashes import sha256_text
from spore_yolo.files.images import ImageSize
from spore_yolo.files.wording import listed
from spore_yolo.inference.contact_sheet import Crop
from spore_yolo.labels.writers.candidates import CANDIDATE_COLUMNS, MEASURE_COLUMNS
from spore_yolo.prediction.scale import Scale

FORM = 3
"""Counts up when what is kept changes its form."""

STATE, PARTS, RESULTS, PREVIOUS = "state.json", "parts", "results", "previous"
FINISHED = "candidates.csv"
"""By this file an output folder is known."""

DAMAGED = (zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError)
"""What reading a damaged part raises."""


@dataclass(frozen=True)
class FileMark:
    """By what a slide's file is known again.

    Attributes:
        size: Its bytes.
        modified_ns: When it was last written.
    """

    size: int
    modified_ns: int

    @staticmethod
    def of(path: Path) -> FileMark:
        """The mark of a file.

        Raises:
            OSError: There is none.
        """
        found = path.stat()
        return FileMark(found.st_size, found.st_mtime_ns)


@dataclass(frozen=True)
class SlidePart:
    """What was found on one slide.

    Attributes:
        slide: What tables call it.
        file: Its file as it was looked at.
        size: In pixels as displayed.
        scale: Its scale.
        resampled: Whether it was brought to the pair's scale.
        skipped_tiles: Tiles that were left out as empty.
        capped: Whether a tile gave as many candidates as it may.
        oversized: Whether a detection is larger than the largest labelled spore.
        candidates: Columns of ``candidates.csv``, as the pair gave them.
        detections: Columns of ``predictions.csv`` likewise.
        crops: Those that can come on a contact sheet.
        computed_by: What computed it, see :func:`spore_yolo.prediction.deciding.computed_by`.
    """

    slide: str
    file: FileMark
    size: ImageSize
    scale: Scale
    resampled: bool
    skipped_tiles: int
    capped: bool
    oversized: bool
    candidates: pd.DataFrame
    detections: pd.DataFrame
    crops: list[Crop]
    computed_by: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Writes the part, numbers to the last bit, whole or not at all."""
        about = {
            "slide": self.slide,
            "file": asdict(self.file),
            "size": [self.size.width, self.size.height],
            "scale": asdict(self.scale),
            "resampled": self.resampled,
            "skipped_tiles": self.skipped_tiles,
            "capped": self.capped,
            "oversized": self.oversized,
            "computed_by": dict(self.computed_by),
        }
        arrays: dict[str, npt.NDArray[Any]] = {"about": np.array(json.dumps(about))}
        for table_name, table in (("candidates", self.candidates), ("detections", self.detections)):
            for column in table.columns.drop("slide"):
                kind = np.float64 if pd.api.types.is_float_dtype(table[column]) else np.str_
                arrays[f"{table_name}.{column}"] = table[column].to_numpy(dtype=object).astype(kind)
        arrays["crops.class"] = np.array([crop.class_name for crop in self.crops], dtype=np.str_)
        arrays["crops.score"] = np.array([crop.score for crop in self.crops], dtype=np.float64)
        arrays["crops.box"] = np.array([crop.box for crop in self.crops], dtype=np.float64).reshape(-1, 2)
        arrays["crops.side"] = np.array([crop.side for crop in self.crops], dtype=np.int64)
        arrays["crops.bytes"] = np.array([len(crop.jpeg) for crop in self.crops], dtype=np.int64)
        arrays["crops.jpeg"] = np.frombuffer(b"".join(crop.jpeg for crop in self.crops), dtype=np.uint8)
        with atomic_file(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own options

    @staticmethod
    def read(path: Path) -> SlidePart:
        """Reads a part.

        Raises:
            SporeYoloError: It is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                about = json.loads(str(arrays["about"]))
                return SlidePart(
                    slide=about["slide"],
                    file=FileMark(**about["file"]),
                    size=ImageSize(*about["size"]),
                    scale=Scale(**about["scale"]),
                    resampled=about["resampled"],
                    skipped_tiles=about["skipped_tiles"],
                    capped=about["capped"],
                    oversized=about["oversized"],
                    candidates=_table(arrays, "candidates", about["slide"]),
                    detections=_table(arrays, "detections", about["slide"]),
                    crops=_crops(arrays),
                    computed_by=about["computed_by"],
                )
        except DAMAGED as error:
            raise SporeYoloError(
                f"{path}: damaged ({error}); go on with --resume, its slide is looked at anew"
            ) from None


def _table(arrays: Mapping[str, npt.NDArray[Any]], name: str, slide: str) -> pd.DataFrame:
    columns = {
        column: arrays[f"{name}.{column}"]
        for column in CANDIDATE_COLUMNS + MEASURE_COLUMNS
        if f"{name}.{column}" in arrays
    }
    table = pd.DataFrame({column: _series(values) for column, values in columns.items()})
    table.insert(0, "slide", pd.Series([slide] * len(table), dtype="str"))
    return table


def _series(values: npt.NDArray[Any]) -> pd.Series:
    return pd.Series(values, dtype="float64" if values.dtype.kind == "f" else "str")


def _crops(arrays: Mapping[str, npt.NDArray[Any]]) -> list[Crop]:
    jpegs, ends = arrays["crops.jpeg"].tobytes(), np.cumsum(arrays["crops.bytes"]).tolist()
    rows = zip(
        arrays["crops.class"].tolist(),
        arrays["crops.score"].tolist(),
        arrays["crops.box"].tolist(),
        arrays["crops.side"].tolist(),
        [0, *ends][:-1] if ends else [],
        ends,
        strict=True,
    )
    return [Crop(name, score, (box[0], box[1]), side, jpegs[start:end]) for name, score, box, side, start, end in rows]


class UnfinishedRun:
    """The folder beside the output where a run keeps what it found until it is done.

    ``OUTPUT.unfinished/`` holds ``state.json``, which says how the run looks, and ``parts/`` with two files a slide:
    what was found, and the marked slide. A slide counts as done when the first is there; it is written last.

    Args:
        output: Where the results will lie.
    """

    def __init__(self, output: Path) -> None:
        self.output = Path(os.path.abspath(output))
        self.folder = self.output.with_name(f"{self.output.name}.unfinished")

    def finds(self) -> Literal["nothing", "results", "other things"]:
        """What lies where the results will lie."""
        if not self.output.exists():
            return "nothing"
        if not self.output.is_dir():
            return "other things"
        if (self.output / FINISHED).exists():
            return "results"
        return "other things" if any(self.output.iterdir()) else "nothing"

    def holds_parts(self) -> bool:
        """Whether there is anything to go on from."""
        return (self.folder / STATE).exists() and any(self._parts())

    def begin(self, options: Mapping[str, Any], slides: Sequence[str]) -> None:
        """Starts anew; what is kept of another run is removed."""
        if not self.is_ours():
            raise UsageError(f"{self.folder} holds other things than an unfinished run; choose another --output")
        self.remove()
        (self.folder / PARTS).mkdir(parents=True)
        self._write_state(options, slides)

    def resume(self, options: Mapping[str, Any], slides: Mapping[str, FileMark]) -> list[str]:
        """Goes on with a run.

        Args:
            options: All that decides on the results, by the name that messages call it.
            slides: Name of each slide, and its file as it is now.

        Returns:
            Slides that the run did not have before; they are added.

        Raises:
            UsageError: The run was made in another way, or slides are gone or were changed; the message says which.
        """
        state = self._read_state()
        other = [
            f"  {name}: {state['options'].get(name)} then, {options.get(name)} now"
            for name in dict.fromkeys([*state["options"], *options])
            if state["options"].get(name) != json.loads(json.dumps(options.get(name)))
        ]
        if other:
            raise UsageError(
                "\n".join([f"--resume: {self.folder} was made in another way:", *other])
                + "\nsay the same as then, or start over with --force"
            )
        gone = [name for name in state["slides"] if name not in slides]
        if gone:
            raise UsageError(
                f"--resume: {listed(gone, 'slides')} belonged to the run in {self.folder} and cannot be found in"
                " --source; bring them back, or start over with --force"
            )
        changed = [name for name, file in slides.items() if self._is_changed(name, file)]
        if changed:
            raise UsageError(
                f"--resume: {listed(changed, 'slides')} changed since the run in {self.folder} looked at them; start"
                " over with --force"
            )
        added = [name for name in slides if name not in set(state["slides"])]
        if added:
            self._write_state(options, list(slides))
        return added

    def is_ours(self) -> bool:
        """Whether the folder holds nothing but an unfinished run, if anything."""
        if not self.folder.exists():
            return True
        if not self.folder.is_dir():
            return False
        others = {path.name for path in self.folder.iterdir()} - {STATE, PARTS, RESULTS, PREVIOUS}
        return all(name.startswith(".state.") for name in others)

    def slides(self) -> list[str]:
        """The names of all slides of the run, in their order.

        Raises:
            UsageError: There is no run, or what says it is damaged.
        """
        return [str(name) for name in self._read_state()["slides"]]

    def options(self) -> dict[str, Any]:
        """All that decides on the results, as :meth:`begin` was told; likewise."""
        return dict(self._read_state()["options"])

    def is_done(self, slide: str) -> bool:
        """Whether a slide's part is there."""
        return self.part(slide).exists()

    def save(self, part: SlidePart, marked: bytes | None) -> None:
        """Keeps what was found on a slide, whole or not at all."""
        if marked is not None:
            with atomic_file(self.marked(part.slide)) as temporary:
                temporary.write_bytes(marked)
        part.write(self.part(part.slide))

    def load(self, slide: str) -> SlidePart:
        """What was found on a slide that is done.

        Raises:
            SporeYoloError: The part is damaged; it is removed, so that the slide is looked at anew.
        """
        try:
            return SlidePart.read(self.part(slide))
        except SporeYoloError:
            self.forget(slide)
            raise

    def forget(self, slide: str) -> None:
        """Lets a slide be looked at anew."""
        self.part(slide).unlink()

    def part(self, slide: str) -> Path:
        """What was found on a slide, as a file."""
        return self.folder / PARTS / f"{_key(slide)}.npz"

    def marked(self, slide: str) -> Path:
        """The marked slide, a JPEG; its name does not say so, lest another run takes it for a slide."""
        return self.folder / PARTS / f"{_key(slide)}.marked"

    @contextmanager
    def results(self, keep: bool = False) -> Iterator[Path]:
        """Gives an empty folder that becomes the output; then nothing is kept any more.

        Args:
            keep: Whether the parts stay all the same, to try some slides again later.
        """
        growing, previous = self.folder / RESULTS, self.folder / PREVIOUS
        shutil.rmtree(growing, ignore_errors=True)
        growing.mkdir()
        try:
            yield growing
            try:
                if self.output.exists():
                    os.replace(self.output, previous)
                os.replace(growing, self.output)
            except BaseException:
                if previous.exists() and not self.output.exists():
                    os.replace(previous, self.output)
                raise
        finally:
            shutil.rmtree(growing, ignore_errors=True)
        shutil.rmtree(previous, ignore_errors=True)
        if not keep:
            self.remove()

    def remove(self) -> None:
        """Removes all that is kept."""
        # Without its state the rest counts for nothing, should this be cut off, too.
        (self.folder / STATE).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            shutil.rmtree(self.folder)

    def _parts(self) -> Iterator[Path]:
        return (path for path in (self.folder / PARTS).glob("*.npz") if not path.name.startswith("."))

    def _is_changed(self, slide: str, file: FileMark) -> bool:
        """Whether a slide was looked at, and its file is another one now."""
        if not self.is_done(slide):
            return False
        try:
            with np.load(self.part(slide), allow_pickle=False) as arrays:
                return FileMark(**json.loads(str(arrays["about"]))["file"]) != file
        except DAMAGED:
            self.forget(slide)
            return False

    def _write_state(self, options: Mapping[str, Any], slides: Sequence[str]) -> None:
        state = {"form": FORM, "options": dict(options), "slides": list(slides)}
        write_text(self.folder / STATE, json.dumps(state, indent=1, ensure_ascii=False) + "\n")

    def _read_state(self) -> dict[str, Any]:
        path = self.folder / STATE
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            if state["form"] == FORM and isinstance(state["options"], dict) and isinstance(state["slides"], list):
                return dict(state)
        except FileNotFoundError:
            raise UsageError(f"{path}: no such file; there is no unfinished run to go on with") from None
        except (ValueError, KeyError, TypeError):
            pass
        raise UsageError(f"{path}: damaged, or made by another version of spore-yolo; start over with --force")


def _key(slide: str) -> str:
    """A file name for a slide, whatever it is called."""
    return sha256_text(slide)[:24]
