"""How long a million boxes take from COCO JSON to YOLO text files, beside other programs on the same files.

    python benchmarks/label_speed.py                                          # ours alone, a minute
    python benchmarks/label_speed.py --boxes 10000 --images 200               # whether it runs
    python benchmarks/label_speed.py --against pycocotools supervision fiftyone:0.05 datumaro --datumaro VENV/bin/python

Each program runs in a process of its own, one after the other; its time is that of the whole process, its memory the
most that the process held at once (of FiftyOne without its database). NAME:SHARE gives a program that share of the
data, and ours beside it as well, which the ratio then means. pycocotools reads and writes nothing. datumaro wants other
versions of some packages than spore-yolo and lives in an environment of its own:

    python3.11 -m venv VENV && VENV/bin/pip install datumaro

The images are one JPEG of 640 x 480 pixels under many names (hard links): headers are read, and by some programs
pixels, but the disk is not measured.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tabulate import tabulate

WIDTH, HEIGHT = 640, 480
CLASSES = [f"taxon_{number}" for number in range(10)]


def draw(folder: Path, images: int, boxes: int) -> None:
    """Makes ``images/`` and ``labels.json``: boxes of 8 to 60 pixels, at random on random images."""
    from PIL import Image

    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    first = folder / "images" / "slide_00000.jpg"
    Image.fromarray(rng.integers(150, 160, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(first, quality=30)
    for number in range(1, images):
        os.link(first, folder / "images" / f"slide_{number:05}.jpg")
    sides = rng.uniform(8, 60, (boxes, 2)).round(2)
    corners = (rng.random((boxes, 2)) * ((WIDTH, HEIGHT) - sides)).round(2)
    image, kind = rng.integers(0, images, boxes).tolist(), rng.integers(0, len(CLASSES), boxes).tolist()
    content = {
        "images": [
            {"id": number + 1, "file_name": f"slide_{number:05}.jpg", "width": WIDTH, "height": HEIGHT}
            for number in range(images)
        ],
        "categories": [{"id": number + 1, "name": name} for number, name in enumerate(CLASSES)],
        "annotations": [
            {
                "id": number + 1,
                "image_id": image[number] + 1,
                "category_id": kind[number] + 1,
                "bbox": [x, y, width, height],
                "area": round(width * height, 2),
                "iscrowd": 0,
                "segmentation": [],
            }
            for number, ((x, y), (width, height)) in enumerate(zip(corners.tolist(), sides.tolist(), strict=True))
        ],
    }
    (folder / "labels.json").write_text(json.dumps(content))


def draw_apart(folder: Path, images: int, boxes: int) -> None:
    """Draws in another process: one that is started counts the memory of the one that starts it as its own."""
    process = multiprocessing.get_context("spawn").Process(target=draw, args=(folder, images, boxes))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit("the data could not be drawn; see above")


PYCOCOTOOLS = """
import sys
from pycocotools.coco import COCO
COCO(sys.argv[1] + "/labels.json")
"""

SUPERVISION = """
import sys
import supervision as sv
folder, output = sys.argv[1:]
dataset = sv.DetectionDataset.from_coco(folder + "/images", folder + "/labels.json")
dataset.as_yolo(annotations_directory_path=output + "/labels", data_yaml_path=output + "/data.yaml")
"""

FIFTYONE = """
import sys
from spore_yolo.evaluation.fiftyone_database import own_fiftyone
folder, output = sys.argv[1:]
with own_fiftyone() as fo:
    dataset = fo.Dataset.from_dir(
        dataset_type=fo.types.COCODetectionDataset, data_path=folder + "/images", labels_path=folder + "/labels.json",
        label_types="detections", label_field="ground_truth", progress=False,
    )
    dataset.export(
        export_dir=output, dataset_type=fo.types.YOLOv5Dataset, label_field="ground_truth", export_media="symlink",
        progress=False,
    )
"""

DATUMARO = """
import os, sys
import datumaro as dm
folder, output = sys.argv[1:]
# It wants annotations/NAME.json beside images/NAME/.
os.makedirs(folder + "/datumaro/annotations", exist_ok=True)
os.makedirs(folder + "/datumaro/images", exist_ok=True)
if not os.path.exists(folder + "/datumaro/annotations/instances_train.json"):
    os.link(folder + "/labels.json", folder + "/datumaro/annotations/instances_train.json")
    os.symlink(folder + "/images", folder + "/datumaro/images/train")
dataset = dm.Dataset.import_from(folder + "/datumaro", "coco_instances")
dataset.export(output, "yolo")
"""

PROGRAMS = {"pycocotools": PYCOCOTOOLS, "supervision": SUPERVISION, "fiftyone": FIFTYONE, "datumaro": DATUMARO}


def command_of(name: str, data: Path, output: Path, datumaro: str) -> list[str]:
    """The command that converts ``data`` to ``output``."""
    if name == "ours":
        program = [sys.executable, "-m", "spore_yolo.cli.main", "export", str(data / "labels.json")]
        return [
            *program,
            "--from-format",
            "coco",
            "--images",
            str(data / "images"),
            "--format",
            "yolo",
            "--output",
            str(output),
        ]
    python = datumaro if name == "datumaro" else sys.executable
    return [python, "-c", PROGRAMS[name], str(data), *([] if name == "pycocotools" else [str(output)])]


def measured(command: list[str], log: Path) -> tuple[float, float, float]:
    """Seconds, seconds of the processor, and peak GB of a process with all that it started and waited for.

    Raises:
        SystemExit: It failed.
    """
    with log.open("wb") as stream:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{shlex.join(command)[:200]} failed:\n{log.read_text(errors='replace')[-2000:]}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def boxes_in(output: Path) -> int:
    """Lines of all YOLO files below a folder."""
    if not output.exists():
        return 0
    lists = {"classes.txt", "train.txt", "obj.names"}
    return sum(len(path.read_bytes().splitlines()) for path in output.rglob("*.txt") if path.name not in lists)


def main() -> None:
    from spore_yolo.files.cores import core_count
    from spore_yolo.files.provenance import code_commit, package_versions

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--boxes", type=int, default=1_000_000)
    parser.add_argument("--against", nargs="*", default=[], metavar="NAME[:SHARE]", help=", ".join(PROGRAMS))
    parser.add_argument("--datumaro", default=sys.executable, metavar="PYTHON", help="the Python that has datumaro")
    arguments = parser.parse_args()
    wanted = [(name.partition(":")[0], float(name.partition(":")[2] or 1)) for name in ["ours", *arguments.against]]
    for name, _ in wanted:
        if name != "ours" and name not in PROGRAMS:
            parser.error(f"--against: expected {', '.join(PROGRAMS)}, found {name}")
    # Ours on each share, before the others that have it.
    runs = sorted({("ours", part) for _, part in wanted} | set(wanted), key=lambda run: (-run[1], run[0] != "ours"))

    print(f"commit {code_commit()}; {package_versions()}")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{platform.platform()}, {core_count()} cores, load before {load}")
    print(shlex.join(sys.argv), flush=True)
    rows = []
    ours: dict[float, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, part in runs:
            data = folder / f"data-{part}"
            boxes = round(arguments.boxes * part)
            if not data.exists():
                draw_apart(data, round(arguments.images * part), boxes)
            output = folder / f"{name}-{part}"
            command = command_of(name, data, output, arguments.datumaro)
            seconds, cpu, memory = measured(command, folder / "log.txt")
            if name == "ours":
                ours[part] = seconds, memory
            found = "" if name == "pycocotools" else f"{boxes_in(output):,}"
            times, more = seconds / ours[part][0], memory / ours[part][1]
            rows.append(
                [
                    name,
                    f"{boxes:,}",
                    found,
                    f"{seconds:.1f}",
                    f"{times:.2f}",
                    f"{cpu:.1f}",
                    f"{memory:.2f}",
                    f"{more:.2f}",
                ]
            )
            print(*rows[-1], flush=True)
    headers = ["", "boxes", "written", "s", "times ours", "CPU s", "peak GB", "times ours"]
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
