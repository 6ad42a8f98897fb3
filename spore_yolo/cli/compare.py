"""``spore-yolo compare``: do runs that were evaluated on the same slides differ?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spore_yolo.cli.lake_places import readable, writable
from spore_yolo.cli.options import Commands, add_command

if TYPE_CHECKING:
    import pandas as pd

    from spore_yolo.evaluation.reading import Evaluated

EXAMPLES = """\
  spore-yolo compare runs/rust-n runs/rust-s
  spore-yolo compare runs/rust-n runs/rust-s runs/rust-m --baseline rust-s --per-class --output comparison.md
  spore-yolo compare reports/at-0.2 reports/at-0.5 --names low,high --slides
"""

TITLES = {
    "recall": "recall",
    "precision": "precision",
    "false_alarms_per_slide": "false/slide",
    "false_alarms_per_megapixel": "false/Mpx",
    "recall_slides": "slides: recall",
    "specificity_slides": "slides: specificity",
    "ap50": "AP50",
}
"""How the tables head each figure."""

HEADLINE = ["recall", "precision", "false_alarms_per_slide", "specificity_slides"]
"""The figures of the first table."""


def add_parser(commands: Commands) -> None:
    """Adds the command to the program."""
    parser = add_command(
        commands, "compare", "Say where runs differ that were evaluated on the same slides, and how surely.", EXAMPLES
    )
    parser.add_argument(
        "runs", nargs="+", type=readable, metavar="RUN", help="an evaluation's folder, or that of a run or pair"
    )
    parser.add_argument("--dataset", help="which evaluation, where a RUN has several")
    parser.add_argument(
        "--split",
        default="test",
        choices=["train", "val", "test", "calibration"],
        help="which evaluation of a RUN (default: %(default)s)",
    )
    parser.add_argument(
        "--names", type=_listed, metavar="A,B", help="what to call the runs (default: as their folders)"
    )
    parser.add_argument("--baseline", metavar="NAME", help="what the others are compared with (default: the first RUN)")
    parser.add_argument("--per-class", action="store_true", help="all classes and figures, not the summary alone")
    parser.add_argument("--slides", action="store_true", help="the ten slides on which the misses differ most")
    parser.add_argument("--output", type=writable, metavar="FILE", help="write everything to a .csv, .json or .md file")
    parser.set_defaults(run=run)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def run(arguments: argparse.Namespace) -> None:
    """Compares the runs, prints the tables and writes the file."""
    from spore_yolo.evaluation.comparing import check_comparable, compare
    from spore_yolo.evaluation.reading import evaluation_folder, read_evaluation
    from spore_yolo.files.atomic import write_text
    from spore_yolo.files.errors import UsageError

    output: Path | None = arguments.output
    writers: dict[str, Callable[[Sequence[Evaluated], pd.DataFrame], str]]
    writers = {".csv": _csv_text, ".json": _json_text, ".md": _markdown_text}
    if len(arguments.runs) < 2:
        raise UsageError("expected at least two RUNs to compare, found one")
    if output is not None and output.suffix.lower() not in writers:
        raise UsageError(f"--output: expected a file that ends in {', '.join(writers)}, found {output}")
    folders = [evaluation_folder(place, arguments.dataset, arguments.split) for place in arguments.runs]
    names = _chosen_names(folders, arguments.names)
    if arguments.baseline is not None and arguments.baseline not in names:
        raise UsageError(f"--baseline: expected one of {', '.join(names)}, found {arguments.baseline}")
    runs = [read_evaluation(folder, name) for folder, name in zip(folders, names, strict=True)]
    runs.sort(key=lambda run: run.name != (arguments.baseline or names[0]))
    check_comparable(runs)
    table = compare(runs[0], runs[1:])
    _print_tables(runs, table, arguments.per_class)
    if arguments.slides:
        _print_slides(runs)
    if output is not None:
        write_text(output, writers[output.suffix.lower()](runs, table))
        print(f"\n{output}: {len(table):,} rows, a row a class, figure and run")
    _print_next(arguments, runs)


def _chosen_names(folders: Sequence[Path], given: Sequence[str] | None) -> list[str]:
    from spore_yolo.evaluation.reading import run_names
    from spore_yolo.files.errors import UsageError

    if given is None:
        return run_names(folders)
    if len(given) != len(folders) or len(set(given)) != len(given) or "" in given:
        raise UsageError(f"--names: expected {len(folders)} different names, found {','.join(given)}")
    return list(given)


def _print_tables(runs: Sequence[Evaluated], table: pd.DataFrame, per_class: bool) -> None:
    from spore_yolo.evaluation.reading import ALL

    classes = runs[0].headline
    summary = table[table["class"].isin(classes) & table["figure"].isin(HEADLINE)]
    print(f"\n{_what(runs)}\nbaseline: {runs[0].name}; differences are a run's figure less the baseline's")
    for name in classes:
        print(f"\n{'all classes' if name == ALL else name}\n\n{_summary_text(summary[summary['class'] == name])}")
    if per_class:
        for name, rows in table.groupby("class", sort=False):
            print(f"\n{'all classes' if name == ALL else name}: everything\n\n{_details_text(rows)}")
    print(f"\n{_how_sure(table if per_class else summary)}")
    if runs[0].about.fingerprint is None:
        print("note: labels in files have no fingerprint; only their numbers on every slide were compared")


def _what(runs: Sequence[Evaluated]) -> str:
    about, counts = runs[0].about, runs[0].counts
    slides, groups = counts["slide"].nunique(), counts["group"].nunique()
    return f"{about.title}: {slides:,} slides in {groups:,} groups, IoU >= {about.iou:g}"


def _how_sure(table: pd.DataFrame) -> str:
    """How many verdicts there are, and how many of them chance alone would give."""
    from spore_yolo.evaluation.comparing import SAME, VERDICTS

    count = int(table["verdict"].isin(VERDICTS).sum())
    if not count:
        return "no verdicts: intervals take groups as the units, and there are too few, or nothing to compare"
    return (
        f"brackets: 95% intervals, groups are the units; of differences, paired by group. {count} comparisons: were"
        f"\nno run truly different, about one in twenty would still look so by chance. {SAME!r} does not say"
        "\nthat there is none: the interval says how large it may be."
    )


def _summary_text(table: pd.DataFrame) -> str:
    """A row a run, a column a figure; each cell holds the figure, how it differs, and the verdict."""
    from tabulate import SEPARATING_LINE

    rows: list[list[str] | str] = []
    for _, cells in table.groupby("run", sort=False):
        first = cells.iloc[0]
        thresholds = (
            f"{score} >= {threshold:g}"
            for score, threshold in (("det.", first["detector_threshold"]), ("class", first["class_threshold"]))
            if threshold == threshold
        )
        own = {row["figure"]: _cell(row) for _, row in cells.iterrows()}
        rows += [["\n".join([first["run"], *thresholds]), *(own[figure] for figure in HEADLINE)], SEPARATING_LINE]
    return _grid(rows[:-1], ["run", *(TITLES[figure] for figure in HEADLINE)], "simple")


def _cell(row: pd.Series) -> str:
    lines = [_with_interval(row, ("value", "low", "high"))]
    if row["verdict"] not in ("", "baseline"):
        lines += [_with_interval(row, ("difference", "difference_low", "difference_high"), "+")]
        lines += [row["verdict"].replace("groups to", "groups\nto")]
    return "\n".join(lines)


def _details_text(table: pd.DataFrame) -> str:
    rows = [
        [
            TITLES[row["figure"]],
            row["run"],
            _with_interval(row, ("value", "low", "high")),
            _with_interval(row, ("difference", "difference_low", "difference_high"), "+"),
            row["verdict"],
        ]
        for _, row in table.iterrows()
    ]
    return _grid(rows, ["figure", "run", "value", "difference", "verdict"], "simple")


def _with_interval(row: pd.Series, columns: tuple[str, str, str], sign: str = "") -> str:
    decimals = 2 if row["figure"].startswith("false_alarms") else 3
    value, low, high = (
        "-" if row[column] != row[column] else f"{row[column]:{sign}.{decimals}f}" for column in columns
    )
    return value if low == "-" else f"{value} [{low}, {high}]"


def _print_slides(runs: Sequence[Evaluated]) -> None:
    from spore_yolo.evaluation.comparing import changed_slides

    baseline, headline = runs[0], runs[0].headline
    classes = [member for name in headline for member in baseline.classes[name]]
    rows = [
        [run.name, slide, str(labelled), str(before), str(missed), f"{change:+d}"]
        for run in runs[1:]
        for slide, labelled, before, missed, change in changed_slides(baseline, run, classes).itertuples(index=False)
    ]
    print(f"\nthe slides whose misses differ most ({', '.join(headline)}):\n")
    headers = ["run", "slide", "labelled", f"missed by\n{baseline.name}", "missed by\nthe run", "change"]
    print(_grid(rows, headers, "simple") if rows else "none: every run misses as many on every slide")


def _print_next(arguments: argparse.Namespace, runs: Sequence[Evaluated]) -> None:
    steps = []
    if not arguments.slides:
        steps.append("the same with --slides   (which slides to look at)")
    for run in reversed(runs):
        folder = run.folder.resolve()
        place = folder.parent.parent
        if folder.parent.name == "evaluation" and (place / "pair").is_dir():
            look = f"--run {_short(place)} --dataset {run.about.dataset} --split {run.about.split}"
            steps.append(f"spore-yolo browse {look}   (look at its slides)")
            break
    if steps:
        print("\nnext: " + "\n      ".join(steps))


def _short(place: Path) -> Path:
    here = Path.cwd()
    return place.relative_to(here) if place.is_relative_to(here) else place


def _csv_text(runs: Sequence[Evaluated], table: pd.DataFrame) -> str:
    return str(table.round(6).to_csv(index=False))


def _json_text(runs: Sequence[Evaluated], table: pd.DataFrame) -> str:
    from spore_yolo.evaluation.comparing import VERDICTS

    about = runs[0].about
    content: dict[str, Any] = {
        "dataset": about.dataset,
        "dataset_fingerprint": about.fingerprint,
        "split": about.split,
        "iou": about.iou,
        "targets": about.targets,
        "baseline": runs[0].name,
        "comparisons": int(table["verdict"].isin(VERDICTS).sum()),
        "runs": {
            run.name: {
                "folder": str(run.folder),
                "operating_point": run.about.operating_point and run.about.operating_point.model_dump(by_alias=True),
            }
            for run in runs
        },
        "rows": [dict(zip(table.columns, row, strict=True)) for row in _plain_rows(table)],
    }
    return json.dumps(content, indent=1) + "\n"


def _markdown_text(runs: Sequence[Evaluated], table: pd.DataFrame) -> str:
    rows = [[_markdown_cell(value) for value in row] for row in _plain_rows(table)]
    heading = f"# Comparison with {runs[0].name}\n\n{_what(runs)}.\n\n"
    return f"{heading}{_grid(rows, list(table.columns), 'pipe')}\n\n{_how_sure(table)}\n"


def _markdown_cell(value: str | float | None) -> str:
    if isinstance(value, str):
        return value.replace("|", "\\|")
    return "" if value is None else f"{value:.4g}"


def _plain_rows(table: pd.DataFrame) -> list[tuple[Any, ...]]:
    """The rows, with ``None`` for what is not known."""
    return list(table.astype(object).where(table.notna(), None).itertuples(index=False, name=None))


def _grid(rows: Iterable[Sequence[str] | str], headers: Sequence[str], form: str) -> str:
    from tabulate import tabulate

    return str(tabulate(list(rows), headers, tablefmt=form, disable_numparse=True))
