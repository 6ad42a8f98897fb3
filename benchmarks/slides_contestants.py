"""The contestants of ``slides.py``: what each does with one slide, in a process of its own.

The others' detectors get the same weights, the same NMS within a tile, room for more spores than any tile has, and all
cores. They get the slide decoded, in memory, in the order of colours that they want; ours open and read its file.
"""

from __future__ import annotations

import logging
import queue
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from slides_scoring import Found, Windows

from spore_yolo.files.atomic import atomic_folder
from spore_yolo.files.cores import core_count
from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.files.hashes import sha256_file
from spore_yolo.inference.backends.packages import import_package
from spore_yolo.inference.manifest import DEBRIS, DetectorPart
from spore_yolo.inference.pair import load, tiling_of
from spore_yolo.inference.scanning import scan
from spore_yolo.inference.slides import ArraySlide, open_slide
from spore_yolo.inference.ultralytics_setup import import_ultralytics

if TYPE_CHECKING:
    from spore_yolo.inference.pair import Pair

Pixels = npt.NDArray[np.uint8]

OURS = ("ours-detector", "ours-pair")
FLOORS = ("floor-detector", "floor-classifier")
VARIANTS: dict[str, list[dict[str, int]]] = {
    "sahi": [{"batch": 1}, {"batch": 4}, {"batch": 8}],
    "sahi-nms": [{"batch": 1}, {"batch": 4}, {"batch": 8}],
    "slicer": [{"batch": 1, "workers": 1}, {"batch": 1, "workers": 2}],
    "slicer-batched": [{"batch": 4, "workers": 1}, {"batch": 8, "workers": 1}, {"batch": 4, "workers": 2}],
    "ultralytics-list": [{"batch": 1}, {"batch": 4}, {"batch": 8}],
}
"""How each of the others may be run; the fastest on a part of the slide runs on the whole of it."""

THEIR_BACKENDS = ("torch", "openvino")

MAX_DETECTIONS = 3000
CANDIDATES_FROM = 0.01
SAMPLE_TILES = 4
"""Variants are compared on the slide's corner, about so many tiles wide and high."""

WARM_UP_TILES = 3
"""The warm-up takes the corner of about so many tiles along each axis: at least one full batch of any size."""


@dataclass(frozen=True)
class Job:
    """One run of one contestant.

    Attributes:
        contestant: Its name.
        backend: What runs its networks.
        slide: The slide's file.
        pair: The pair's folder.
        work: Where exported weights lie.
        confidence: From which confidence on the others report; ours report all candidates.
        found: Where what was found goes, as ``.npz``.
        variant: How it runs.
        variants: For a floor: all that are timed.
        all_found: Whether the others run a second time, untimed, and report all candidates as ours do.
        crops_of: For the classifier's floor: what the pair found.
    """

    contestant: str
    backend: str
    slide: Path
    pair: Path
    work: Path
    confidence: float
    found: Path
    variant: dict[str, int] = field(default_factory=dict)
    variants: list[dict[str, int]] = field(default_factory=list)
    all_found: bool = False
    crops_of: Path | None = None

    @classmethod
    def of(cls, content: dict[str, Any]) -> Job:
        """Out of JSON."""
        paths = {key: Path(content[key]) for key in ("slide", "pair", "work", "found")}
        crops_of = None if content["crops_of"] is None else Path(content["crops_of"])
        return cls(**{**content, **paths, "crops_of": crops_of})


@dataclass(frozen=True)
class Contestant:
    """A contestant that has loaded what it needs.

    Attributes:
        look: Goes over a slide, and reports from a confidence on.
        found: What it found, out of what it gave; not timed.
        windows: The tiles of a slide of that width and height.
        setting: How it really ran, asked for afterwards.
    """

    look: Callable[[Any, float], Any]
    found: Callable[[Any], Found]
    windows: Callable[[int, int], Windows]
    setting: Callable[[], dict[str, Any]] = dict


def run(job: Job) -> dict[str, Any]:
    """One timed run over the whole slide; loading and a warm-up on a few tiles are not timed."""
    limits = _TimeLimits()
    ours = job.contestant in OURS
    contestant = _load_ours(job) if ours else _load_other(job)
    pixels = _corner(job, WARM_UP_TILES) if ours else _decoded(job)
    contestant.look(_part(pixels, job, WARM_UP_TILES), job.confidence)
    limits.hits.clear()
    before = peak_mb()
    begin = time.perf_counter()
    given = contestant.look(job.slide if ours else pixels, job.confidence)
    seconds = time.perf_counter() - begin
    record: dict[str, Any] = {"seconds": seconds, "peak_mb": peak_mb(), "peak_before_mb": before}
    width, height = _size(job.slide)
    windows = contestant.windows(width, height)
    contestant.found(given).write(job.found)
    record |= {"tiles": windows.count, "x": windows.x, "y": windows.y, "setting": contestant.setting()}
    record["nms_time_limits"] = list(limits.hits)
    if job.all_found and not ours:
        contestant.found(contestant.look(pixels, CANDIDATES_FROM)).write(all_path(job.found))
        record["nms_time_limits_of_all"] = list(limits.hits)[len(record["nms_time_limits"]) :]
    return record


def choose(job: Job) -> list[dict[str, Any]]:
    """Milliseconds a tile of each variant on a part of the slide, the better of two passes."""
    speeds = []
    for variant in VARIANTS[job.contestant]:
        contestant = _load_other(Job(**{**vars(job), "variant": variant}))
        pixels = _part(_decoded(job), job, SAMPLE_TILES)
        count = contestant.windows(pixels.shape[1], pixels.shape[0]).count
        contestant.look(_part(pixels, job, WARM_UP_TILES), job.confidence)
        times = []
        for _ in range(2):
            begin = time.perf_counter()
            contestant.look(pixels, job.confidence)
            times.append(time.perf_counter() - begin)
        speeds.append({**variant, "ms_per_tile": 1000 * min(times) / count})
    return speeds


def all_path(found: Path) -> Path:
    """Where all candidates of another lie, beside what it reports from the confidence on."""
    return found.with_name(f"{found.stem}-all.npz")


def crops_path(found: Path) -> Path:
    """Where all candidates of our pair lie, debris included."""
    return found.with_name(f"{found.stem}-crops.npz")


def point_path(found: Path) -> Path:
    """Where the detections of our pair at its own operating point lie."""
    return found.with_name(f"{found.stem}-point.npz")


def peak_mb() -> float:
    """The most memory that this process ever held, in megabytes."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    except OSError:
        pass
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)


class _TimeLimits(logging.Handler):
    """Notes each time that the NMS of Ultralytics gave up, which leaves the rest of a batch empty."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.hits: list[str] = []
        logging.getLogger("ultralytics").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if "NMS time limit" in record.getMessage():
            self.hits.append(record.getMessage())


def load_pair(job: Job) -> Pair:
    """The pair on the backend that the job names."""
    return load(job.pair, device="cpu", backend=job.backend)


def _load_ours(job: Job) -> Contestant:
    pair = load_pair(job)
    settings = tiling_of(pair.manifest.detector)

    def windows(width: int, height: int) -> Windows:
        return Windows.of([tile.window for tile in settings.grid(width, height).tiles])

    def setting() -> dict[str, Any]:
        runner = pair.detector.runner
        return {"batch": runner.batch, "workers": runner.workers, "backend": runner.backend}

    if job.contestant == "ours-detector":
        names = np.array(pair.manifest.detector.classes)

        def detect(slide: Any, _: float) -> Any:
            if isinstance(slide, Path):
                with open_slide(slide) as opened:
                    return scan(opened, pair.detector.runner, settings)[0]
            return scan(ArraySlide(slide), pair.detector.runner, settings)[0]

        return Contestant(detect, lambda one: Found(one.boxes, one.scores, names[one.classes]), windows, setting)

    def look(slide: Any, _: float) -> Any:
        if isinstance(slide, Path):
            with open_slide(slide) as opened:
                return pair.candidates(opened)
        return pair.candidates(slide)

    def found(given: Any) -> Found:
        everything = _of_supervision(given, given.data["class_name"])
        everything.write(crops_path(job.found))
        point = pair.detections(given)
        _of_supervision(point, point.data["class_name"]).write(point_path(job.found))
        return everything.where(everything.classes != DEBRIS)

    return Contestant(look, found, windows, setting)


def _load_other(job: Job) -> Contestant:
    makers = {"sahi": _sahi, "sahi-nms": _sahi, "slicer": _slicer, "slicer-batched": _slicer, "ultralytics-list": _list}
    return makers[job.contestant](job)


def _sahi(job: Job) -> Contestant:
    _prepare_ultralytics()
    from sahi import AutoDetectionModel
    from sahi.predict import get_sliced_prediction
    from sahi.slicing import get_slice_bboxes

    settings, part = tiling_of(_part_of(job)), _part_of(job)
    batch, side = job.variant["batch"], settings.tile_side
    overlap = settings.grid(side, side).overlap
    model = AutoDetectionModel.from_pretrained(
        model_type="ultralytics",
        model_path=str(_weights(job, batch)),
        confidence_threshold=job.confidence,
        device="cpu",
        image_size=part.tile_size,
        task="detect",
    )
    # SAHI passes neither; without them Ultralytics would cut each tile at 300.
    model.model.overrides.update(max_det=MAX_DETECTIONS, iou=part.nms_iou)
    # SAHI rounds down to whole pixels.
    slicing: dict[str, Any] = {
        "slice_height": side,
        "slice_width": side,
        "overlap_height_ratio": (overlap + 0.5) / side,
        "overlap_width_ratio": (overlap + 0.5) / side,
    }
    merging: dict[str, Any] = {"postprocess_type": "GREEDYNMM", "postprocess_match_metric": "IOS"}
    if job.contestant == "sahi-nms":
        merging = {"postprocess_type": "NMS", "postprocess_match_metric": "IOU"}

    def look(pixels: Pixels, confidence: float) -> Any:
        # Below a confidence of 0.1 SAHI would change the way it merges.
        return get_sliced_prediction(
            pixels,
            model,
            **slicing,
            **merging,
            postprocess_match_threshold=0.5,
            force_postprocess_type=True,
            perform_standard_pred=False,
            batch_size=batch,
            confidence_threshold=confidence,
            verbose=0,
        )

    def found(result: Any) -> Found:
        all_of_them = result.object_prediction_list
        boxes = np.array([one.bbox.to_xyxy() for one in all_of_them], dtype=np.float64).reshape(-1, 4)
        scores = np.array([one.score.value for one in all_of_them], dtype=np.float64)
        return Found(boxes, scores, np.array([one.category.name for one in all_of_them], dtype=str))

    def windows(width: int, height: int) -> Windows:
        return Windows.of(get_slice_bboxes(height, width, auto_slice_resolution=False, **slicing))

    return Contestant(look, found, windows, lambda: job.variant | _really([model.model], part))


def _slicer(job: Job) -> Contestant:
    _prepare_ultralytics()
    import supervision as sv

    part = _part_of(job)
    settings = tiling_of(part)
    batch, workers, side = job.variant["batch"], job.variant["workers"], settings.tile_side
    overlap = settings.grid(side, side).overlap
    # One model lets in one thread at a time; so each thread has one of its own, and its share of the cores.
    models = [_yolo(job, batch) for _ in range(workers)]
    _set_torch_threads(max(1, core_count() // workers))
    idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for model in models:
        _predict(model, [np.zeros((side, side, 3), dtype=np.uint8)] * batch, part, job.confidence)
        idle.put(model)

    def look(pixels: Pixels, confidence: float) -> Any:
        def several(tiles: list[Pixels]) -> list[Any]:
            model = idle.get()
            try:
                return [sv.Detections.from_ultralytics(one) for one in _predict(model, tiles, part, confidence)]
            finally:
                idle.put(model)

        slicer = sv.InferenceSlicer(
            several if batch > 1 else lambda tile: several([tile])[0],
            slice_wh=side,
            overlap_wh=overlap,
            thread_workers=workers,
            batch_size=batch,
        )
        return slicer(pixels)

    def windows(width: int, height: int) -> Windows:
        return Windows.of(sv.InferenceSlicer._generate_offset((width, height), (side, side), (overlap, overlap)))

    def found(given: Any) -> Found:
        return _of_supervision(given, given.data.get("class_name", np.zeros(0, dtype=str)))

    return Contestant(look, found, windows, lambda: job.variant | _really(models, part))


def _list(job: Job) -> Contestant:
    _prepare_ultralytics()
    part = _part_of(job)
    settings, batch = tiling_of(part), job.variant["batch"]
    model = _yolo(job, batch)

    def look(pixels: Pixels, confidence: float) -> Any:
        tiles = settings.grid(pixels.shape[1], pixels.shape[0]).tiles
        rows = [np.zeros((0, 6))]
        for begin in range(0, len(tiles), batch):
            some = tiles[begin : begin + batch]
            views = [pixels[tile.y_min : tile.y_max, tile.x_min : tile.x_max] for tile in some]
            for tile, result in zip(some, _predict(model, views, part, confidence), strict=True):
                shift = (tile.x_min, tile.y_min, tile.x_min, tile.y_min, 0, 0)
                rows.append(result.boxes.data.numpy() + shift)
        return np.concatenate(rows)

    def found(rows: Any) -> Found:
        return Found(rows[:, :4], rows[:, 4], np.array(part.classes)[rows[:, 5].astype(int)])

    def windows(width: int, height: int) -> Windows:
        return Windows.of([tile.window for tile in settings.grid(width, height).tiles])

    return Contestant(look, found, windows, lambda: job.variant | _really([model], part))


def _of_supervision(given: Any, names: Any) -> Found:
    return Found(given.xyxy.astype(np.float64), given.confidence.astype(np.float64), np.asarray(names).astype(str))


def _predict(model: Any, tiles: list[Pixels], part: DetectorPart, confidence: float) -> Any:
    return model.predict(
        tiles,
        conf=confidence,
        iou=part.nms_iou,
        imgsz=part.tile_size,
        max_det=MAX_DETECTIONS,
        device="cpu",
        verbose=False,
    )


def _really(models: list[Any], part: DetectorPart) -> dict[str, Any]:
    """What Ultralytics did, whatever it was asked for.

    Raises:
        SporeYoloError: It was something else.
    """
    import torch

    asked = {"max_det": MAX_DETECTIONS, "iou": part.nms_iou}
    for model in models:
        done = {key: getattr(model.predictor.args, key) for key in asked}
        if done != asked:
            raise SporeYoloError(f"Ultralytics ran with {done} in place of {asked}; the comparison would not be fair")
    return asked | {"torch_threads": torch.get_num_threads()}


def _prepare_ultralytics() -> None:
    """Gives it all cores; by itself it leaves one of them alone, which of two would be half."""
    import_ultralytics()
    _set_torch_threads(core_count())


def _set_torch_threads(threads: int) -> None:
    import torch
    from ultralytics.utils import torch_utils

    torch_utils.NUM_THREADS = threads  # it sets the number of threads whenever it loads a model
    torch.set_num_threads(threads)


def _yolo(job: Job, batch: int) -> Any:
    return import_ultralytics().YOLO(str(_weights(job, batch)), task="detect")


def _weights(job: Job, batch: int) -> Path:
    """The checkpoint, or what Ultralytics exports it to; only an export of any shape takes more than one tile."""
    checkpoint = job.pair / _part_of(job).file
    if job.backend == "torch":
        return checkpoint
    if job.backend != "openvino":
        raise UsageError(f"{job.contestant} runs on {' and '.join(THEIR_BACKENDS)}, found {job.backend}")
    import_package("openvino")
    kind = "dynamic" if batch > 1 else "static"
    folder = job.work / f"{sha256_file(checkpoint)[:16]}-{kind}"
    exported = folder / "detector_openvino_model"
    if not exported.is_dir():
        with atomic_folder(folder) as temporary:
            shutil.copyfile(checkpoint, temporary / "detector.pt")
            yolo = import_ultralytics().YOLO(str(temporary / "detector.pt"))
            yolo.export(format="openvino", imgsz=_part_of(job).tile_size, dynamic=batch > 1, verbose=False)
    return exported


def _part_of(job: Job) -> DetectorPart:
    from spore_yolo.inference.manifest import read_manifest

    return read_manifest(job.pair).detector


def _size(path: Path) -> tuple[int, int]:
    with open_slide(path) as slide:
        return slide.width, slide.height


def _decoded(job: Job) -> Pixels:
    """The whole slide; in the order of colours that the contestant wants."""
    with open_slide(job.slide) as slide:
        pixels = slide.read((0, 0, slide.width, slide.height))
    return pixels if job.contestant.startswith("sahi") else np.ascontiguousarray(pixels[..., ::-1])


def _corner(job: Job, tiles: int) -> Pixels:
    """The slide's corner, about so many tiles wide and high."""
    side = tiles * tiling_of(_part_of(job)).tile_side
    with open_slide(job.slide) as slide:
        return np.array(slide.read((0, 0, min(side, slide.width), min(side, slide.height))))


def _part(pixels: Pixels, job: Job, tiles: int) -> Pixels:
    side = tiles * tiling_of(_part_of(job)).tile_side
    return pixels[:side, :side]
