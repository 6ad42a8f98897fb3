"""``spore-yolo learn-empty``: how a pair tells tiles on which nothing lies, so that no labelled spore is lost."""

from __future__ import annotations

import argparse
import datetime
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spore_yolo.cli.options import Commands, add_command, add_pair, add_register, chosen_pair, overlap

if TYPE_CHECKING:
    import pandas as pd

    from spore_yolo.dataset.store import Dataset
    from spore_yolo.inference.emptiness import Floats
    from spore_yolo.inference.manifest import EmptyFigures, EmptyPart, PairManifest
    from spore_yolo.inference.merging import Integers

MARGIN = 0.75  # the same as the margin of emptiness, which cannot be asked without OpenCV; a test compares them
SHOWN = 3

EXAMPLES = """\
  spore-yolo learn-empty --run runs/rust --dataset rust --test
  spore-yolo predict --run runs/rust --source slides/ --output found/ --skip-empty
"""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands,
        "learn-empty",
        "Choose which tiles are empty and need not be looked at, so that no labelled spore of validation is lost.",
        EXAMPLES,
    )
    add_pair(parser, writes=True)
    parser.add_argument("--dataset", help="the dataset's name; without it the registered ones are listed")
    parser.add_argument(
        "--margin",
        type=overlap,
        default=MARGIN,
        help="a tile is empty if nothing on it stands out this share as much as the faintest labelled spore; the lower,"
        " the safer (default: %(default)s)",
    )
    parser.add_argument("--test", action="store_true", help="also measure what it loses on the test split")
    parser.add_argument("--device", help="cpu, 0, mps (default: a GPU where there is one)")
    add_register(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Chooses the threshold and stores it with the pair, or says why none would do."""
    from spore_yolo.dataset.store import load_dataset
    from spore_yolo.experiments.evaluation_run import comparable
    from spore_yolo.files.errors import SporeYoloError
    from spore_yolo.inference.backends.speeds import measure
    from spore_yolo.inference.emptiness import reduction_for, threshold_for
    from spore_yolo.inference.manifest import EmptyPart, read_manifest
    from spore_yolo.inference.pair import load, pair_folder
    from spore_yolo.labels.table import COORDINATES

    dataset = load_dataset(arguments.dataset, arguments.datasets)
    folder = pair_folder(chosen_pair(arguments))
    manifest = read_manifest(folder)
    boxes, _ = comparable(dataset.boxes, dataset, manifest)
    spores = boxes[~boxes["ignored"]]
    validation, of_validation = _split(dataset, spores, "val")
    if of_validation.empty:
        raise SporeYoloError(f"dataset {dataset.name}, val: no labelled spore, so nothing says how faint one may be")
    reduction = reduction_for(of_validation[COORDINATES].to_numpy(dtype="float64"), manifest.detector.scale)
    looked = look_at_tiles(dataset, validation, of_validation, manifest, reduction)
    threshold = threshold_for(looked.contrasts, arguments.margin)
    figures = {"val": looked.figures(threshold)}
    if figures["val"].bare == 0:
        raise SporeYoloError(
            f"dataset {dataset.name}, val: bare ground stands out as much as {arguments.margin:g} of the faintest"
            f" labelled spore ({looked.contrasts.min():.3f}), so no tile could be left out; nothing was stored. Are"
            f" these labels right?\n{looked.faintest_text()}"
        )
    if arguments.test:
        test = look_at_tiles(dataset, *_split(dataset, spores, "test"), manifest, reduction)
        figures["test"] = test.figures(threshold)
    part = EmptyPart(
        reduction=reduction,
        threshold=threshold,
        margin=arguments.margin,
        faintest=float(looked.contrasts.min()),
        dataset=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        figures=figures,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    detector = load(folder, arguments.device).detector
    detector_ms = measure(detector.runner, manifest.detector.tile_size, (1,)).ms_per_image[1]
    _store(folder, manifest, part)
    print(part_text(part))
    print(f"\nthe spores that stand out least; are these labels right?\n{looked.faintest_text()}")
    dearer = looked.milliseconds / detector_ms
    print(
        f"\na look at a tile takes {looked.milliseconds:.2f} ms, the detector {detector_ms:.1f} ms: where no tile is"
        f" empty, it costs {dearer:.1%} more"
    )
    if figures["val"].skipped == 0:
        print(
            "note: no tile of validation is empty, as is usual on fields that somebody chose to label. It gains on"
            " slides with bare ground, such as scans beyond the sample's edge, and nothing on others"
        )
    print(f"\n{folder / 'pair.yaml'}: knows empty tiles now")
    print(f"next: spore-yolo predict --pair {folder} --skip-empty --source SLIDES --output found/")


@dataclass(frozen=True)
class LookedAt:
    """How much tiles and labelled spores stand out.

    Attributes:
        slides: How many there were.
        tiles: ``(T,)``, the contrast of each tile.
        patches: ``(P,)``, of each patch.
        spores: Boxes table of the ``N`` labelled spores.
        contrasts: ``(N,)``, of each spore; of a spore between tiles, the least that one of them sees.
        owners: ``(N,)``, the index of the tile that owns it.
        milliseconds: What looking at a tile took, the median.
    """

    slides: int
    tiles: Floats
    patches: Floats
    spores: pd.DataFrame
    contrasts: Floats
    owners: Integers
    milliseconds: float

    def figures(self, threshold: float) -> EmptyFigures:
        """What leaving out tiles below a threshold does here."""
        from spore_yolo.inference.manifest import EmptyFigures

        return EmptyFigures(
            slides=self.slides,
            tiles=len(self.tiles),
            skipped=int((self.tiles < threshold).sum()),
            spores=len(self.spores),
            lost=int((self.tiles[self.owners] < threshold).sum()),
            fainter=int((self.contrasts < threshold).sum()),
            bare=round(float((self.patches < threshold).mean()), 5),
        )

    def faintest_text(self) -> str:
        """The spores that stand out least, a line each."""
        from spore_yolo.labels.table import COORDINATES

        lines = []
        for place in self.contrasts.argsort(kind="stable")[:SHOWN]:
            row = self.spores.iloc[place]
            corners = ", ".join(f"{row[name]:g}" for name in COORDINATES)
            lines.append(f"  {self.contrasts[place]:.3f}  {row['image']}: {row['class']} at {corners}")
        return "\n".join(lines)


def look_at_tiles(
    dataset: Dataset, images: pd.DataFrame, spores: pd.DataFrame, manifest: PairManifest, reduction: int
) -> LookedAt:
    """Looks at all tiles of labelled slides as ``predict --skip-empty`` does, with a progress bar.

    Args:
        dataset: The dataset.
        images: Its images to look at.
        spores: Their labelled boxes.
        manifest: Of the pair whose tiles they are.
        reduction: Pixels of the model per reduced pixel.
    """
    import numpy as np
    import pandas as pd
    from tqdm import tqdm

    from spore_yolo.inference.emptiness import Emptiness, box_contrasts, contrast_map, patch_contrasts
    from spore_yolo.inference.merging import speaks_for
    from spore_yolo.inference.pair import resampling, tiling_of
    from spore_yolo.inference.slides import open_slide
    from spore_yolo.inference.tiling import distance_to_core
    from spore_yolo.labels.table import COORDINATES

    look = Emptiness(reduction, 0.0)
    tiles: list[float] = []
    patches: list[Floats] = []
    tables, contrasts, owners = [spores.iloc[:0]], [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    seconds: list[float] = []
    for image in tqdm(images["image"], desc="looking at tiles", unit="slide"):
        mine = spores[spores["image"] == image]
        boxes = mine[COORDINATES].to_numpy(dtype=np.float64)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        least, owner = np.full(len(boxes), np.inf), np.zeros(len(boxes), dtype=np.int64)
        with open_slide(dataset.path_of(image)) as slide:
            settings = tiling_of(manifest.detector).resampled(resampling(slide.um_per_px, manifest.um_per_px))
            for tile in settings.grid(slide.width, slide.height).tiles:
                window = slide.read(tile.window)
                begun = time.perf_counter()
                look.is_empty(window, settings.scale)
                seconds.append(time.perf_counter() - begun)
                seen = contrast_map(window, settings.scale, reduction)
                patches.append(patch_contrasts(seen, reduction))
                near = np.flatnonzero(speaks_for(boxes, tile, settings.scale))
                corner = np.tile([tile.x_min, tile.y_min], 2)
                least[near] = np.minimum(least[near], box_contrasts(seen, boxes[near] - corner, window.shape))
                owner[distance_to_core(centres, tile.core) == 0] = len(tiles)
                tiles.append(float(seen.max()))
        tables.append(mine)
        contrasts.append(least)
        owners.append(owner)
    return LookedAt(
        slides=len(images),
        tiles=np.array(tiles),
        patches=np.concatenate(patches),
        spores=pd.concat(tables),
        contrasts=np.concatenate(contrasts),
        owners=np.concatenate(owners),
        milliseconds=1000 * float(np.median(seconds)),
    )


def part_text(part: EmptyPart) -> str:
    """What was chosen, on what it rests, and what it does."""
    from tabulate import tabulate

    rows = [
        [
            split,
            figures.slides,
            f"{figures.tiles:,}",
            f"{figures.skipped:,} ({figures.skipped / figures.tiles:.1%})",
            f"{figures.spores:,}",
            figures.lost,
            figures.fainter,
            f"{figures.bare:.1%}",
        ]
        for split, figures in part.figures.items()
    ]
    headers = ["split", "slides", "tiles", "left out", "spores", "lost", "fainter", "bare area"]
    lines = [
        f"\n{part.dataset}, val: the labelled spore that stands out least differs by {part.faintest:.1%} from the"
        f" ground, reduced {part.reduction} times",
        f"a tile on which nothing differs by {part.threshold:.1%}, {part.margin:g} of that, is empty\n",
        str(tabulate(rows, headers, tablefmt="simple", disable_numparse=True)),
        "\nlost: spores whose tile is left out. fainter: spores that are looked at only for what lies beside them.",
    ]
    return "\n".join(lines)


def _split(dataset: Dataset, spores: pd.DataFrame, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images of a split and their labelled spores."""
    images = dataset.split(name)[0]
    return images, spores[spores["image"].isin(images["image"])]


def _store(folder: Path, manifest: PairManifest, part: EmptyPart) -> None:
    """Puts it into ``pair.yaml``.

    Raises:
        SporeYoloError: The pair was made anew while it looked at the slides.
    """
    from spore_yolo.files.errors import SporeYoloError
    from spore_yolo.files.structured import write_yaml
    from spore_yolo.inference.manifest import MANIFEST, read_manifest

    now = read_manifest(folder)
    if now.detector != manifest.detector:
        raise SporeYoloError(f"{folder}: the pair was trained anew meanwhile; run spore-yolo learn-empty again")
    write_yaml(folder / MANIFEST, now.model_copy(update={"empty": part}).model_dump(by_alias=True, mode="json"))
