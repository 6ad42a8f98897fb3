from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from spore_yolo.evaluation.gallery import Failure, Picture, cut_pictures
from spore_yolo.evaluation.html_report import ReportInput, words, write_report
from spore_yolo.evaluation.html_report.figures import MOST_CLASSES
from spore_yolo.evaluation.html_report.tables import group_table
from spore_yolo.evaluation.operating_point import Curve
from spore_yolo.files.errors import SporeYoloError

VOID = {"meta", "img", "br"}
NAMES = ["Alternaria", "Puccinia"]
HOSTILE = ["<script>alert(1)</script>", "\"onerror='x'&amp;", "حشرة‮abc", "\U0001f344 шпора", "long" * 100, "$x_{", " "]
MATCHES = ["slide", "group", "class", "outcome", "score", "iou", "x_min", "y_min", "x_max", "y_max"]


def figure(value: float | None, n: int = 200, groups: int = 12, reach: float = 0.05) -> dict[str, Any]:
    told = value is not None and groups >= 8
    interval = [value - reach, value + reach] if told and value is not None else None
    return {"value": value, "n": n, "groups": groups, "interval": interval, "more_groups": max(0, 8 - groups)}


def class_figures(at: float, groups: int = 12) -> dict[str, Any]:
    """Figures of a class, no two alike."""
    place = iter(np.round(at + np.arange(40) * 0.0013, 4).tolist())

    def one(reach: float = 0.05) -> dict[str, Any]:
        return figure(next(place), 200, groups, reach)

    return {
        **{"boxes": 200, "tp": 186, "fp": 47, "fn": 14, "recall": one(), "precision": one(), "found_at_all": one()},
        **{"ap50": one(), "ap50_95": one(), "ar": one()},
        "false_alarms_per_slide": figure(1.17 + at, 40, groups, 0.4),
        "false_alarms_per_megapixel": figure(0.19 + at, 40, groups, 0.1),
        **{"recall_crops": one(), "specificity_crops": one(0.01), "crops": {"tp": 181, "fp": 23, "tn": 801, "fn": 19}},
        **{"recall_slides": one(), "specificity_slides": one(0.02)},
        "slides": {"tp": 18, "fp": 1, "tn": 33, "fn": 2, "left_out": 3},
        "presence": {"roc_auc": one(), "average_precision": one()},
        "counts": {
            **{"bias": figure(-0.25 - at, 40, groups, 0.6), "r2": one(), "sd": 1.25 + at, "n": 40},
            "limits_of_agreement": [-2.5 - at, 2.0 + at],
        },
        "recall_by": {
            "side_um": [
                {"bin": "up to 9 µm", "low": None, "high": 9.0} | one(),
                {"bin": "over 9 µm", "low": 9.0, "high": None} | one(),
            ],
            "sharpness": [{"bin": "blurred third", "low": None, "high": 0.1} | one()],
        },
    }


def make_metrics(names: list[str] = NAMES, targets: list[str] = NAMES[:1], groups: int = 12) -> dict[str, Any]:
    per_class = {name: class_figures(0.8 - place * 0.02, groups) for place, name in enumerate(names)}
    own = ("boxes", "tp", "fp", "fn", "recall", "precision", "found_at_all", "ap50", "ap50_95", "ar", "recall_by")
    rates = ("false_alarms_per_slide", "false_alarms_per_megapixel")
    overall = {key: value for key, value in class_figures(0.55, groups).items() if key in own + rates}
    named = {"recall": figure(0.912, 200, groups), "called_debris": figure(0.01, 200, groups)}
    return {
        **{"dataset": "air", "dataset_fingerprint": "f" * 64, "split": "test", "iou": 0.5, "targets": targets},
        "operating_point": {"detector": 0.31415, "class": dict.fromkeys(names, 0.27182)},
        **{"classes_merged_to_spore": False, "warnings": [], "slides": 40, "groups": groups, "megapixels": 493.2},
        "pair": {
            **{"detector_sha256": "d" * 64, "classifier_sha256": "c" * 64},
            "made": {"detector": {"date": "2026-01-02", "seed": 7, "settings": {"epochs": 10, "minutes": None}}},
        },
        **{"overall": overall, "per_class": per_class},
        "per_group": {
            "farm 1": {"boxes": 9, "tp": 6, "fp": 2, "fn": 3, "recall": 2 / 3, "precision": 0.75},
            "farm 2": {"boxes": 0, "tp": 0, "fp": 0, "fn": 0, "recall": None, "precision": None},
            "farm 3": {"boxes": 8, "tp": 1, "fp": 0, "fn": 7, "recall": 0.125, "precision": 1.0},
        },
        "crops": {"least_detector_score": 0.05, "n": 1024, "left_out_between": 60, "left_out_ignored": 3},
        "detector_alone": {
            **{"threshold": 0.35, "classes_merged_to_spore": False},
            "found_at_all": {name: figure(0.951, 200, groups) for name in names},
            "overall": class_figures(0.5, groups),
            "per_class": {name: class_figures(0.6, groups) for name in names},
        },
        "classifier_on_labels": {
            "overall": {"accuracy": figure(0.923, 400, groups), "called_debris": figure(0.02, 400, groups)},
            "per_class": dict.fromkeys(names, named),
        },
    }


def make_report(metrics: dict[str, Any], gallery: list[Picture] | None = None) -> ReportInput:
    names = list(metrics["per_class"])
    rng = np.random.default_rng(0)
    slides = pd.DataFrame(
        {
            "slide": [f"s{number}" for number in range(40) for _ in names],
            "group": [f"g{number % 12}" for number in range(40) for _ in names],
            "class": names * 40,
            "labelled": rng.integers(0, 6, 40 * len(names)),
            "detected": rng.integers(0, 6, 40 * len(names)),
            "score": rng.uniform(0, 1, 40 * len(names)),
            "known": True,
        }
    )
    slides = slides.assign(present=slides["labelled"] > 0, reported=slides["detected"] > 0)
    columns = [*names, "background"]
    counts = rng.integers(1, 90, (len(columns), len(columns)))
    counts[-1, -1] = 0
    recall = np.linspace(0.01, 0.95, 400)
    outcomes = [("s1", "g1", names[0], kind, 0.5, 0.0, 0, 0, 9, 9) for kind in ["fn"] * 14 + ["fp"] * 47]
    return ReportInput(
        metrics=metrics,
        matches=pd.DataFrame(outcomes, columns=MATCHES),
        slides=slides,
        confusion=pd.DataFrame(counts, index=columns, columns=columns),
        curves=dict.fromkeys(names, Curve(1 - recall, recall, 1 - recall**3 / 2, boxes=200)),
        reliability=pd.DataFrame(
            {"n": [10, 900], "score": [0.41, 0.97], "right": [0.3, 0.955], "right_low": 0.2, "right_high": 0.99}
        ),
        gallery=gallery or [],
    )


def make_pictures(count: int, name: str = "Alternaria", slide: str = "s1") -> list[Picture]:
    noise = np.random.default_rng(1).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    failures = [
        Failure(
            "missed" if place % 2 else "false alarm",
            name,
            slide,
            "g 1",
            (99, 99, 130, 140),
            0.87,
            "it was called",
            "Rye",
        )
        for place in range(count)
    ]
    return cut_pictures(failures, lambda _: noise)


class Page(HTMLParser):
    """Reads a page strictly: every tag is closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.tags, self.open = "", [], []
        self.rows: list[list[str]] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert not self.open
        self.rows = [[" ".join(cell.split()) for cell in row] for row in self.rows]
        self.words = " ".join(self.text.replace("\u00a0", " ").split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, attrs)
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if "tr" in self.open and self.rows[-1]:
            self.rows[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.tags if name == tag]


def render(tmp_path: Path, report: ReportInput, title: str = "air, test") -> Page:
    write_report(tmp_path / "report.html", report, title)
    return Page(tmp_path / "report.html")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return render(tmp_path_factory.mktemp("page"), make_report(make_metrics(), make_pictures(4)))


def figures_in(content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """All figures of ``metrics.json``, each with the name that it bears."""
    for key, value in content.items():
        if isinstance(value, dict) and "more_groups" in value:
            yield key, value
        elif isinstance(value, dict):
            yield from figures_in(value)
        elif isinstance(value, list):
            yield from ((key, part) for part in value if isinstance(part, dict))


def test_nothing_is_fetched_and_nothing_runs(page: Page) -> None:
    policy = [one for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert [one["content"] for one in policy] == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    # The policy comes before whatever it holds for.
    assert page.source.index("Content-Security-Policy") < page.source.index("<style")
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "form", "base", "svg", "video", "audio"}
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")]
        assert tag == "img" or "src" not in attrs
        assert attrs.get("src", "data:image/").startswith(
            ("data:image/svg+xml;base64,", "data:image/jpeg;base64,", "data:image/")
        )
        assert attrs.get("href", "#").startswith("#")
    assert not re.search(r"https?:|url\(|@import|//", re.sub(r"base64,[A-Za-z0-9+/=]+", "", page.source))


def test_everyone_can_find_their_way(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    tags = [tag for tag, _ in page.tags]
    assert [tags.count(name) for name in ("main", "header", "nav", "footer", "h1", "title")] == [1] * 6
    headings = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(headings))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["href"][1:] for attrs in page.all("a")} <= set(ids)
    assert {attrs["aria-labelledby"] for _, attrs in page.tags if "aria-labelledby" in attrs} <= set(ids)
    first = next((tag, attrs) for tag, attrs in page.tags if tag in ("a", "h1", "p"))
    assert first == ("a", {"class": "skip", "href": "#words"})
    assert tags.count("table") == tags.count("caption") > 8
    assert all(attrs.get("scope") in ("col", "row") for attrs in page.all("th"))
    images = page.all("img")
    assert len(images) > 15
    assert all(re.search(r"\d", attrs["alt"]) for attrs in images)
    assert tags.count("figure") == tags.count("figcaption") == len(images)


def test_every_figure_is_shown_as_it_is(page: Page) -> None:
    """Against formatting that is written down here a second time."""
    metrics = make_metrics()
    minus = "\N{MINUS SIGN}"
    whose = {name: metrics[name] for name in ("overall", "per_class", "detector_alone", "classifier_on_labels")}
    # Of the detector alone are shown the three figures that stand beside those of the pair.
    beside = ("recall", "precision", "false_alarms_per_slide")
    for part in (whose["detector_alone"]["overall"], *whose["detector_alone"]["per_class"].values()):
        for key in set(part) - set(beside):
            del part[key]
    del whose["detector_alone"]["found_at_all"]
    for part in (whose["classifier_on_labels"]["overall"], *whose["classifier_on_labels"]["per_class"].values()):
        part.pop("called_debris", None)
    seen = 0
    for key, found in figures_in(whose):
        (low, high), value = found["interval"], found["value"]
        if key.startswith("false_alarms"):
            expected = f"{value:.2f} {low:.2f} to {high:.2f}"
        elif key == "bias":
            expected = f"{value:+.2f} {low:+.2f} to {high:+.2f}".replace("-", minus)
        elif key in ("ap50", "ap50_95", "ar", "roc_auc", "average_precision", "r2"):
            expected = f"{value:.3f} {low:.3f} to {high:.3f}"
        else:
            expected = f"{100 * value:.1f} % {100 * low:.1f} to {100 * high:.1f} %"
        assert expected in page.words, (key, found)
        seen += 1
    # Two classes with 16 figures and 3 bins, all together 8 and 3, then the parts.
    assert seen == 2 * (16 + 3) + 8 + 3 + 3 * 3 + 3
    for count in ("186", "47", "14", "181", "23", "801", "19", "33"):
        assert any(count in row for row in page.rows)


def test_rows_of_a_class(page: Page) -> None:
    rows = {row[0]: row for row in reversed(page.rows) if row}
    boxes = next(row for row in page.rows if row[0] == "Alternaria (target)")
    assert boxes == [
        *("Alternaria (target)", "200", "186", "14", "47"),
        *("80.0 % 75.0 to 85.0 %", "80.1 % 75.1 to 85.1 %", "1.97 1.57 to 2.37", "0.99 0.89 to 1.09"),
    ]
    # Groups: the lowest recall first, those without labels last.
    order = [row[0] for row in page.rows if row and row[0].startswith("farm")]
    assert order == ["farm 3", "farm 1", "farm 2"]
    assert rows["farm 2"] == ["farm 2", "0", "0", "0", "0", "- none labelled", "- nothing reported"]
    assert rows["farm 1"] == ["farm 1", "9", "6", "3", "2", "66.7 %", "75.0 %"]
    side = next(row for row in page.rows if row[0] == "Alternaria (target)" and "91.2 % 86.2 to 96.2 %" in row)
    assert side[1] == "60.0 % 55.0 to 65.0 %"
    assert rows["detector_score"] == ["detector_score", "0.31415"]


def test_plain_words_come_first_and_lead_with_the_target(page: Page) -> None:
    first = page.words[: page.words.index("Under a figure stands its range")]
    assert first.index("Alternaria (target)") < first.index("All classes together")
    assert "The pair looked at 40 slides (493.2 million pixels) from 12 groups, the test part of dataset air." in first
    assert "Of 100 Alternaria spores that experts labelled, the pair found 80 (between 75 and 85)." in first
    assert "Here it was 186 of 200." in first
    assert "Enough to tell: the labelled spores come from 12 groups, at least 8 are needed." in first
    # What is said before it is explained would be jargon.
    assert not re.search("recall|specificity|precision|IoU|operating point|AP50", first)


def test_too_few_groups(tmp_path: Path) -> None:
    page = render(tmp_path, make_report(make_metrics(groups=4)))
    assert "(too few groups to tell: 4, at least 8 are needed, 4 more)" in page.words
    assert "Not enough to tell how far this carries" in page.words
    assert "Enough to tell" not in page.words
    assert "80.0 % 4 groups: too few" in page.words
    assert not re.search(r"\d to \d", " ".join(" ".join(row[5:9]) for row in page.rows if row[0].startswith("Altern")))


def test_what_is_not_known_says_why(tmp_path: Path) -> None:
    metrics = make_metrics()
    own, nothing = metrics["per_class"]["Alternaria"], figure(None, 0, 0)
    own |= {"boxes": 0, "tp": 0, "fn": 0, "slides": {"tp": 0, "fp": 0, "tn": 0, "fn": 0, "left_out": 40}}
    for key in (
        "recall",
        "precision",
        "ap50",
        "recall_crops",
        "specificity_crops",
        "recall_slides",
        "specificity_slides",
    ):
        own[key] = nothing
    own["presence"] = {"roc_auc": nothing, "average_precision": nothing}
    own["counts"] = {"bias": nothing, "r2": nothing, "sd": None, "limits_of_agreement": None, "n": 0}
    page = render(tmp_path, make_report(metrics))
    rows = [row for row in page.rows if row and row[0] == "Alternaria (target)"]
    assert rows[0][5:7] == ["- none labelled", "- nothing reported"]
    assert rows[2][-2:] == ["- no crop of it", "- no crop of anything else"]
    assert rows[3][-4:] == [
        *("- no slide with it", "- no slide without it", "- needs slides with and without it", "- no slide with it"),
    ]
    assert rows[4][1:] == ["- no slides", "- needs two slides", "- needs two slides", "- all slides bear as many"]
    assert "Experts labelled no Alternaria spores on these slides" in page.words
    assert "No slide here is known to be without Alternaria spores" in page.words
    assert "None" not in page.words
    assert "nan" not in page.words


def test_of_many_groups_the_worst_are_listed() -> None:
    metrics = make_metrics(["Rye"], [])
    whole = metrics["per_group"]["farm 1"]
    metrics["per_group"] = {f"farm {place}": whole | {"recall": place / 100} for place in range(40, 0, -1)}
    table = group_table(metrics)
    assert table is not None
    assert [row.name for row in table.rows] == [f"farm {place}" for place in range(1, 13)]
    assert "The other 28 groups" in table.note
    metrics["per_group"] = {"farm 1": whole}
    alone = group_table(metrics)
    assert alone is not None and not alone.note


@pytest.mark.parametrize("name", HOSTILE, ids=[repr(name[:12]) for name in HOSTILE])
def test_any_name_is_only_a_name(tmp_path: Path, name: str) -> None:
    metrics = make_metrics([name, "Rye"], [name])
    metrics["warnings"] = [f"mind {name}"]
    metrics["per_group"] = {name: metrics["per_group"]["farm 1"]}
    metrics["pair"]["made"]["detector"]["start"] = name
    page = render(tmp_path, make_report(metrics, make_pictures(2, name, name)), title=name)
    assert not page.all("script")
    assert not [attrs for _, attrs in page.tags if any(key.startswith("on") for key in attrs)]
    if name.strip():
        assert name in unescape(page.source)
        # The name stands apart, so that its direction does not turn the text round it.
        assert page.source.count("<bdi>") == page.source.count("</bdi>") > 10
    assert any(name in attrs["alt"] for attrs in page.all("img"))


def test_names_of_files_need_not_be_text(tmp_path: Path) -> None:
    page = render(tmp_path, make_report(make_metrics(), make_pictures(2, slide="s\udcff.png")))
    assert "s?.png" in page.words


@pytest.mark.parametrize(
    ("split", "said"),
    [
        pytest.param("train", "one from which the pair learned", id="train"),
        pytest.param("val", "one from which settings and thresholds of the pair were chosen", id="val"),
        pytest.param("calibration", "Not an independent measure", id="calibration"),
    ],
)
def test_splits_that_flatter(tmp_path: Path, split: str, said: str) -> None:
    words_ = render(tmp_path, make_report(make_metrics() | {"split": split})).words
    assert said in words_
    assert "State figures of the test part instead." in words_


def test_warnings_and_a_promise(tmp_path: Path) -> None:
    metrics = make_metrics() | {"warnings": ["a cap was reached"], "operating_point_name": "careful"}
    promise = {"recall": 0.9, "confidence": 0.95, "targets": ["Alternaria"], "groups": {"Alternaria": 41}}
    metrics["promise"] = promise | {"split": "calibration", "dataset": "air", "notes": ["a note"]}
    page = render(tmp_path, make_report(metrics))
    assert "Mind: a cap was reached" in page.words
    assert "Operating point: careful" in page.words
    assert "at least 90 of 100 labelled spores of Alternaria are promised to be found" in page.words
    assert "Of 100 such promises at least 95 are kept." in page.words
    assert "Groups that it rests on: 41 for Alternaria, of the calibration part of dataset air." in page.words
    assert ["notes", "a note"] in page.rows


def test_how_it_was_made(page: Page) -> None:
    for row in (
        ["dataset fingerprint", "f" * 64],
        ["detector (SHA-256)", "d" * 64],
        ["classifier (SHA-256)", "c" * 64],
        ["seed", "7"],
        ["settings", "epochs 10"],
        ["class_score of Puccinia", "0.27182"],
    ):
        assert row in page.rows
    assert any(row[0] == "versions" and "python 3" in row[1] for row in page.rows if row)


def test_a_pair_that_does_not_tell_its_parts_apart(tmp_path: Path) -> None:
    metrics = make_metrics()
    metrics["pair"]["made"] = {"date": "2025-12-31", "settings": {"epochs": 3}}
    page = render(tmp_path, make_report(metrics))
    assert ["date", "2025-12-31"] in page.rows
    assert ["epochs", "3"] in page.rows


def test_predictions_of_any_program_without_scores(tmp_path: Path) -> None:
    metrics = make_metrics()
    metrics |= {"pair": None, "operating_point": None, "split": None, "megapixels": None}
    metrics |= {"predictions": {"path": "found.json", "scores": False}, "truth": {"path": "labels.json"}}
    for key in ("detector_alone", "classifier_on_labels", "dataset_fingerprint"):
        del metrics[key]
    for figures in (metrics["overall"], *metrics["per_class"].values()):
        for key in ("ap50", "ap50_95", "ar"):
            figures[key] = figure(None, 200)
    report = make_report(metrics)
    report.slides["score"] = np.nan
    bare = ReportInput(metrics, report.matches, report.slides, pd.DataFrame(), {}, None, [])
    page = render(tmp_path, bare)
    assert "The program looked at 40 slides from 12 groups" in page.words
    assert "- the predictions have no scores" in page.words
    assert ["predictions", "path found.json, scores no"] in page.rows
    assert "Which part loses what" not in page.words
    assert "What went wrong" not in page.words
    assert "Slides with the class against slides without" not in page.words


def test_a_detector_that_names_nothing(tmp_path: Path) -> None:
    metrics = make_metrics(["spore"], []) | {"classes_merged_to_spore": True}
    metrics["pair"]["classifier_sha256"] = None
    del metrics["detector_alone"]
    page = render(tmp_path, make_report(metrics))
    assert "The detector finds spores; there is no classifier behind it." in page.words
    assert "Of 100 spores that experts labelled, the detector found 80" in page.words
    assert "all classes" not in [row[0] for row in page.rows]

    merged = make_metrics()
    alone = merged["detector_alone"]
    alone |= {"classes_merged_to_spore": True, "per_class": {"spore": class_figures(0.5)}}
    page = render(tmp_path, make_report(merged))
    side = next(row for row in page.rows if "- it names nothing" in row)
    assert side[:3] == ["Alternaria (target)", "95.1 % 90.1 to 100.1 %", "- it names nothing"]


@pytest.mark.slow
def test_many_classes_and_all_pictures_stay_small(tmp_path: Path) -> None:
    names = [f"Genus species {number}" for number in range(30)]
    metrics = make_metrics(names, names[:3])
    page = render(tmp_path, make_report(metrics, make_pictures(240, names[0])))
    assert (tmp_path / "report.html").stat().st_size < 5_000_000
    assert f"Only {MOST_CLASSES} classes have plots of their own" in page.words
    curves = [attrs["alt"] for attrs in page.all("img") if "Precision over recall" in attrs["alt"]]
    assert len(curves) == MOST_CLASSES
    assert [alt.split(".")[0] for alt in curves[:3]] == names[:3]
    assert sum(row[0] == names[29] for row in page.rows if row) >= 7
    # Without targets nobody reads thirty paragraphs.
    few = render(tmp_path, make_report(make_metrics(names, [])))
    assert few.source.count('class="card"') == 1


def test_bins_of_their_own(tmp_path: Path) -> None:
    metrics = make_metrics()
    other = metrics["per_class"]["Puccinia"]["recall_by"]["side_um"]
    other[0]["bin"], other[1]["bin"] = "up to 20 µm", "over 20 µm"
    page = render(tmp_path, make_report(metrics))
    assert ["class", "part 1", "part 2"] in page.rows
    first = next(row for row in page.rows if row[0].startswith("Puccinia") and "up to 20 µm" in row[1])
    assert re.fullmatch(r"7\d\.\d % up to 20 µm \d\d\.\d to \d\d\.\d % 200 labelled", first[1])


def test_mix_ups_are_sorted_and_counted(tmp_path: Path) -> None:
    report = make_report(make_metrics())
    names = [*NAMES, "background"]
    counts = pd.DataFrame([[90, 6, 4], [8, 30, 2], [5, 7, 0]], index=names, columns=names)
    report = ReportInput(**(vars(report) | {"confusion": counts}))
    page = render(tmp_path, report)
    rows = page.rows[page.rows.index(["labelled", "called", "how often", "of those labelled"]) + 1 :]
    assert rows[:2] == [["Puccinia", "Alternaria", "8", "20.0 %"], ["Alternaria", "Puccinia", "6", "6.0 %"]]
    (alt,) = [attrs["alt"] for attrs in page.all("img") if "named rightly, " in attrs["alt"]]
    assert alt.startswith("Alternaria: 90 of 100 named rightly, 4 missed; Puccinia: 30 of 40 named rightly, 2 missed")
    assert "12 detections on what experts did not label" in alt


def test_a_page_that_cannot_be_made_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    metrics = copy.deepcopy(make_metrics())
    del metrics["overall"]["recall"]
    with pytest.raises((KeyError, SporeYoloError)):
        write_report(tmp_path / "report.html", make_report(metrics), "air")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "old"


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        pytest.param(0.8234, "share", "82.3\u00a0%", id="share"),
        pytest.param(1.0, "share", "100.0\u00a0%", id="all"),
        pytest.param(0.99989, "share", ">99.9\u00a0%", id="not all"),
        pytest.param(0.0, "share", "0.0\u00a0%", id="none"),
        pytest.param(0.0001, "share", "<0.1\u00a0%", id="not none"),
        pytest.param(-0.4213, "score", "\N{MINUS SIGN}0.421", id="R2 below 0"),
        pytest.param(0.0, "rate", "0.00", id="no false alarm"),
        pytest.param(0.001, "rate", "<0.01", id="few false alarms"),
        pytest.param(1234.567, "rate", "1,234.57", id="many"),
        pytest.param(-0.5, "signed", "\N{MINUS SIGN}0.50", id="too few counted"),
        pytest.param(0.5, "signed", "+0.50", id="too many counted"),
    ],
)
def test_numbers(value: float, kind: words.Kind, shown: str) -> None:
    assert words.number(value, kind) == shown


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(0.0, "0", id="none"),
        pytest.param(0.004, "fewer than 1", id="not none"),
        pytest.param(0.005, "0", id="rounds to even"),
        pytest.param(0.934, "93", id="rounded"),
        pytest.param(0.996, "more than 99", id="not all"),
        pytest.param(1.0, "100", id="all"),
    ],
)
def test_of_a_hundred(value: float, said: str) -> None:
    assert words.of_hundred(value) == said


def plain(text: str) -> str:
    return unescape(re.sub("<[^>]+>", "", text))


def box_figures(found: int, labelled: int, groups: int = 12) -> dict[str, Any]:
    share = found / labelled if labelled else None
    return {"tp": found, "boxes": labelled, "recall": figure(share, labelled, groups)}


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        pytest.param(
            box_figures(930, 1000),
            "Of 100 rust spores that experts labelled, the pair found 93 (between 88 and 98). Here it was 930 of"
            " 1,000.",
            id="many",
        ),
        pytest.param(
            box_figures(8, 10),
            "Of 10 rust spores that experts labelled, the pair found 8 (of 100, between 75 and 85).",
            id="few",
        ),
        pytest.param(
            box_figures(1, 1, groups=1),
            "Of 1 rust spore that experts labelled, the pair found 1 (too few groups to tell: 1, at least 8 are needed,"
            " 7 more).",
            id="one",
        ),
        pytest.param(
            box_figures(0, 0, groups=0),
            "Experts labelled no rust spores on these slides, so nobody can say how many the pair would find.",
            id="none",
        ),
    ],
)
def test_what_was_found_in_words(figures: dict[str, Any], said: str) -> None:
    assert plain(words.found_sentence("rust", figures, "the pair")) == said


@pytest.mark.parametrize(
    ("wrong", "right", "reach", "said"),
    [
        pytest.param(
            3,
            97,
            0.02,
            "On slides without rust spores it raised a false alarm on 3 of 100 (between 1 and 5). Here it was 3 of 100"
            " slides.",
            id="many",
        ),
        pytest.param(
            1, 3, 0.1, "Of 4 slides without rust spores, 1 had a false alarm (of 100, between 15 and 35).", id="few"
        ),
        pytest.param(
            0,
            1000,
            0.001,
            "On slides without rust spores it raised a false alarm on 0 of 100 (between 0.0 and 0.1).",
            id="none",
        ),
    ],
)
def test_false_alarms_on_slides_in_words(wrong: int, right: int, reach: float, said: str) -> None:
    share = figure(right / (wrong + right), wrong + right, reach=reach)
    share["interval"] = np.clip(share["interval"], 0, 1).tolist()
    figures = {"specificity_slides": share, "slides": {"fp": wrong, "tn": right}}
    assert plain(words.slides_sentence("rust", figures)).startswith(said)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("Alternaria", "Alternaria spores", id="taxon"),
        pytest.param("spore", "spores", id="merged"),
        pytest.param("Teliospores", "Teliospores", id="spores already"),
        pytest.param("<b>", "<b> spores", id="escaped"),
    ],
)
def test_spores_of_a_class(name: str, said: str) -> None:
    assert plain(words.spores(name)) == said
    assert "<b>" not in words.spores(name)
