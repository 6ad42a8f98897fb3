"""``spore-yolo predict``: finds the spores on new slides."""

from __future__ import annotations

import argparse
import glob
import json
from pathlib import Path
from typing import TYPE_CHECKING

from spore_yolo.cli.options import Commands, add_command, add_pair, candidate_score, chosen_pair

if TYPE_CHECKING:
    import pandas as pd

    from spore_yolo.inference.pair import OperatingPoint, Pair

EXAMPLES = """\
  spore-yolo predict --run runs/magnaporthe --source slides/ --output found/
  spore-yolo predict --pair pairs/rust --source 'farm_*/day_3/*.jpg' one_more.png --output found/ --at 0.4
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands, "predict", "Find the spores on slides; writes tables, counts and marked slides.", EXAMPLES
    )
    add_pair(parser)
    parser.add_argument("--source", nargs="+", required=True, help="slides: files, folders (at any depth), globs")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--at", type=candidate_score, metavar="SCORE", help="lowest detector_score instead of the stored one"
    )
    parser.add_argument("--no-images", action="store_true", help="write no marked slides")
    parser.add_argument("--force", action="store_true", help="replace results that lie in the output folder")
    parser.add_argument("--device", help="cpu, 0, mps (default: a GPU where there is one)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Predicts and writes the output folder, whole or not at all."""
    from spore_yolo.files.atomic import atomic_folder
    from spore_yolo.files.errors import UsageError
    from spore_yolo.inference.pair import OperatingPoint, load

    output: Path = arguments.output
    slides = find_slides(arguments.source, output)
    if output.exists() and not (output.is_dir() and _is_ours(output)):
        raise UsageError(f"--output: {output} exists and holds other things than predictions; choose another folder")
    if output.exists() and any(output.iterdir()) and not arguments.force:
        raise UsageError(f"--output: {output} holds predictions already; choose another folder or add --force")
    pair = load(chosen_pair(arguments), arguments.device)
    point = pair.manifest.operating_point
    if arguments.at is not None:
        point = OperatingPoint(detector=arguments.at)
    with atomic_folder(output) as temporary:
        counts, warnings = _predict(pair, slides, point, temporary, images=not arguments.no_images)
    _report(counts, warnings, pair, point.detector, output)


def find_slides(sources: list[str], output: Path) -> list[Path]:
    """The slides that files, folders and globs name, each once, sorted; earlier results in ``output`` are none.

    Raises:
        UsageError: One of them names nothing.
    """
    from spore_yolo.files.errors import UsageError
    from spore_yolo.files.images import IMAGE_SUFFIXES, find_images

    slides: dict[Path, Path] = {}
    for source in sources:
        path = Path(source)
        if path.is_dir():
            found = find_images(path)
        elif path.exists():
            found = [path]
        else:
            matches = [Path(match) for match in sorted(glob.glob(source, recursive=True))]
            found = [image for match in matches if match.is_dir() for image in find_images(match)]
            found += [match for match in matches if match.is_file() and match.suffix.lower() in IMAGE_SUFFIXES]
        if not found:
            kinds = "JPEG, PNG, TIFF, BMP, WebP"
            what = f"expected slides ({kinds}), found none" if path.is_dir() else "no such file, folder or glob match"
            raise UsageError(f"--source: {source}: {what}")
        for slide in found:
            slides.setdefault(slide.resolve(), slide)
    ours = output.resolve()
    left = sorted(slide for place, slide in slides.items() if not place.is_relative_to(ours))
    if not left:
        raise UsageError(f"--source: everything there lies in --output {output} and counts as results, not as slides")
    return left


def _is_ours(folder: Path) -> bool:
    return not any(folder.iterdir()) or (folder / "candidates.csv").exists()


def _predict(
    pair: Pair, slides: list[Path], point: OperatingPoint, folder: Path, images: bool
) -> tuple[pd.DataFrame, list[str]]:
    import pandas as pd
    from tqdm import tqdm

    from spore_yolo.cli.looking import Caps, candidates_table, joined
    from spore_yolo.files.images import read_image
    from spore_yolo.inference.drawing import write_marked
    from spore_yolo.labels.writers import unique_names, write_coco, write_csv, yolo_text

    classes = pair.manifest.classes
    names = unique_names([slide.as_posix() for slide in slides])
    caps = Caps(point.detector)
    tables, sizes, rows = [], {}, []
    (folder / "labels").mkdir()
    if images:
        (folder / "images").mkdir()
    for path in tqdm(slides, desc="looking", unit="slide"):
        slide = path.as_posix()
        pixels = read_image(path)
        candidates = pair.candidates(pixels)
        caps.note(slide, candidates)
        sizes[slide] = (pixels.shape[1], pixels.shape[0])
        table = candidates_table(slide, candidates)
        tables.append(table)
        shown = pair.detections(candidates, point)
        found = table[table["detector_score"] >= point.detector]
        (folder / "labels" / f"{names[slide]}.txt").write_text(
            yolo_text(found, sizes[slide], classes), encoding="utf-8"
        )
        if images:
            write_marked(folder / "images" / f"{names[slide]}.jpg", pixels, shown)
        per_class = found["class"].value_counts()
        rows.append({"slide": slide, **{name: int(per_class.get(name, 0)) for name in classes}, "all": len(found)})
    candidates_all = joined(tables)
    detections = candidates_all[candidates_all["detector_score"] >= point.detector]
    write_csv(folder / "candidates.csv", candidates_all)
    write_csv(folder / "predictions.csv", detections)
    write_coco(folder / "predictions.coco.json", detections, sizes, classes)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
    counts = pd.DataFrame(rows)
    counts.to_csv(folder / "counts.csv", index=False)
    part = pair.manifest.detector
    warnings = caps.warnings(part.max_detections_per_tile, part.largest_box)
    about = {
        "operating_point": {"detector": point.detector, "class": {}},
        "slides": len(slides),
        "detections": len(detections),
        "warnings": warnings,
        "pair": {"detector_sha256": part.sha256, "made": pair.manifest.made},
    }
    (folder / "prediction.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return counts, warnings


def _report(counts: pd.DataFrame, warnings: list[str], pair: Pair, threshold: float, output: Path) -> None:
    from tabulate import tabulate

    shown = counts if len(counts) <= 30 else counts.nlargest(30, "all")
    print(tabulate(shown, headers="keys", showindex=False, tablefmt="simple", intfmt=","))
    if len(shown) < len(counts):
        print(f"… and {len(counts) - len(shown)} slides with fewer; all of them are in {output / 'counts.csv'}")
    print(f"\n{int(counts['all'].sum()):,} detections on {len(counts):,} slides at detector_score >= {threshold:g}")
    for warning in warnings:
        print(warning)
    marked = output / "images"
    print(
        f"{output / 'predictions.csv'}      what passes the operating point\n"
        f"{output / 'candidates.csv'}       everything from detector_score 0.01 on\n"
        f"{output / 'predictions.coco.json'}, {output / 'labels'}/  the same for other programs (COCO, YOLO)\n"
        f"{output / 'counts.csv'}           detections a slide; prediction.json: how they were made"
        + (f"\nnext: look at the marked slides in {marked}/" if marked.exists() else "")
    )
