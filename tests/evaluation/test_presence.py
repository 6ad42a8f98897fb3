from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from sklearn import metrics as sklearn

from spore_yolo.evaluation import presence
from spore_yolo.evaluation.intervals import jackknife_interval, share_figure
from spore_yolo.evaluation.presence import (
    SLIDE_COLUMNS,
    presence_curves,
    presence_figures,
    slide_figures,
    slides_table,
)
from spore_yolo.evaluation.scoring import score_candidates
from spore_yolo.labels.table import boxes_table

Make = Callable[..., pd.DataFrame]
Split = Callable[[int], tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]]
HERE, THERE = (0, 0, 20, 20), (300, 0, 320, 20)
LABEL, IGNORED = ("1.jpg", "rust", *HERE), ("1.jpg", "rust", *THERE)
OTHER_IGNORED = ("1.jpg", "smut", *THERE)
NOTHING = {"value": None, "n": 0, "groups": 0, "interval": None, "more_groups": 8}


def tabled(
    candidates: pd.DataFrame, boxes: pd.DataFrame, images: pd.DataFrame, classes: list[str], threshold: float = 0.0
) -> pd.DataFrame:
    found = score_candidates(candidates[~(candidates["score"] < threshold)], boxes, images, classes)
    return slides_table(candidates, found, boxes, images, classes)


def ranked(slides: int, groups: int, seed: int = 0, share: float = 0.4) -> pd.DataFrame:
    """The table of slides whose scores tell well which bear the class, with ties and slides without a candidate."""
    rng = np.random.default_rng(seed)
    present = rng.random(slides) < share
    score = np.clip(rng.normal(np.where(present, 0.65, 0.35), 0.2), 0, 1).round(2)
    return pd.DataFrame(
        {
            "slide": [f"{number}.jpg" for number in range(slides)],
            "group": [f"g{number % groups}" for number in range(slides)],
            "class": "rust",
            "labelled": present * 2,
            "detected": (score > 0.5) * 1,
            "score": score,
            "present": present,
            "reported": score > 0.5,
            "known": rng.random(slides) < 0.9,
        }
    )


@pytest.mark.parametrize(
    ("labels", "ignored", "found", "outcome"),
    [
        pytest.param([LABEL], (), [HERE], "tp", id="present and found"),
        pytest.param([LABEL], (), [THERE], "tp", id="present and reported, though elsewhere"),
        pytest.param([LABEL], (), [], "fn", id="present and not reported"),
        pytest.param([], (), [HERE], "fp", id="absent and reported"),
        pytest.param([], (), [], "tn", id="absent and not reported"),
        pytest.param([LABEL, IGNORED], (1,), [], "fn", id="a label beside an ignored box"),
        pytest.param([LABEL, IGNORED], (1,), [THERE], "tp", id="present, and reported on an ignored box"),
        pytest.param([IGNORED], (0,), [], "left_out", id="only an ignored box of the class, not reported"),
        pytest.param([IGNORED], (0,), [HERE], "left_out", id="only an ignored box of the class, reported elsewhere"),
        pytest.param([OTHER_IGNORED], (0,), [THERE], "left_out", id="reported only on an ignored box of another class"),
        pytest.param([OTHER_IGNORED], (0,), [HERE, THERE], "fp", id="reported beside that box too"),
        pytest.param([OTHER_IGNORED], (0,), [], "tn", id="an ignored box of another class, not reported"),
    ],
)
def test_each_kind_of_slide(
    labels: list[tuple[str, str, float, float, float, float]],
    ignored: tuple[int, ...],
    found: list[tuple[float, float, float, float]],
    outcome: str,
    make_images: Make,
    make_boxes: Make,
    make_candidates: Make,
) -> None:
    candidates = make_candidates([("1.jpg", "rust", 0.9, *box) for box in found])
    table = tabled(candidates, make_boxes(labels, ignored), make_images({"1.jpg": "g"}), ["rust", "smut"])
    figures = slide_figures(table)["rust"]
    counts = {name: figures[name] for name in ("tp", "fp", "tn", "fn", "left_out")}
    assert counts == {name: int(name == outcome) for name in counts}
    assert figures["recall"]["n"] == counts["tp"] + counts["fn"]
    assert figures["specificity"]["n"] == counts["tn"] + counts["fp"]


def test_the_table_by_hand(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    images = make_images({"2.jpg": "g", "1.jpg": "h"})
    boxes = make_boxes([LABEL, ("1.jpg", "rust", *THERE), ("1.jpg", "smut", 600, 0, 620, 20)], ignored=(2,))
    candidates = make_candidates(
        [
            ("1.jpg", "rust", 0.9, *HERE),
            ("1.jpg", "rust", 0.8, 600, 0, 620, 20),  # on the ignored box
            ("1.jpg", "rust", 0.3, *THERE),  # below the threshold
            ("2.jpg", "smut", 0.2, *HERE),
            ("2.jpg", "debris", 0.99, *HERE),
            ("elsewhere.jpg", "rust", 0.99, *HERE),
        ]
    )
    found = score_candidates(candidates[candidates["score"] >= 0.5].iloc[:2], boxes, images, ["rust", "smut"])
    table = slides_table(candidates, found, boxes, images, ["rust", "smut"])
    assert list(table) == SLIDE_COLUMNS
    assert table.drop(columns=["width", "height"]).to_numpy().tolist() == [
        ["2.jpg", "g", "rust", 0, 0, 0.0, False, False, True],
        ["2.jpg", "g", "smut", 0, 0, 0.2, False, False, True],
        ["1.jpg", "h", "rust", 2, 1, 0.9, True, True, True],
        ["1.jpg", "h", "smut", 0, 0, 0.0, False, False, False],
    ]
    assert (table["width"] == 1000).all() and (table["height"] == 500).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_table_is_what_counting_slide_by_slide_says(seed: int, random_split: Split) -> None:
    candidates, boxes, images = random_split(seed)
    found = score_candidates(candidates[candidates["score"] >= 0.5], boxes, images, ["a", "b"])
    shown = found.candidates
    table = slides_table(candidates, found, boxes, images, ["a", "b"])
    assert len(table) == 2 * len(images)
    for row in table.itertuples():
        name = table.loc[row.Index, "class"]
        of_cell = [
            part[part["class"] == name]
            for part in (boxes[boxes["image"] == row.slide], shown[shown["slide"] == row.slide])
        ]
        labels, hits = of_cell
        scores = candidates.loc[(candidates["slide"] == row.slide) & (candidates["class"] == name), "score"]
        assert row.labelled == (~labels["ignored"]).sum()
        assert row.detected == (~hits["on_ignored"]).sum()
        assert row.reported == (len(hits) > 0)
        assert row.score == (scores.max() if len(scores) else 0)
        unsure = labels["ignored"].any() or (len(hits) > 0 and hits["on_ignored"].all())
        assert row.known == (row.labelled > 0 or not unsure)


def test_recall_and_specificity_take_groups_as_units() -> None:
    table = ranked(200, 12)
    figures, known = slide_figures(table)["rust"], table[table["known"]]
    bears, lacks = known[known["present"]], known[~known["present"]]
    for name, rows, right in (("recall", bears, bears["reported"]), ("specificity", lacks, ~lacks["reported"])):
        part, whole = right.groupby(rows["group"]).sum(), rows.groupby("group").size()
        assert figures[name] == share_figure(part.to_numpy(float), whole.to_numpy(float))
        assert figures[name]["interval"] is not None
    assert figures["left_out"] == (~table["known"]).sum()


def test_without_slides_that_lack_the_class_specificity_is_unknown(
    make_images: Make, make_boxes: Make, make_candidates: Make
) -> None:
    table = tabled(make_candidates([]), make_boxes([LABEL]), make_images({"1.jpg": "g"}), ["rust"])
    assert slide_figures(table)["rust"]["specificity"] == NOTHING
    assert presence_curves(table, "rust") is None
    missing = presence_figures(table, "rust")
    assert missing["roc_auc"]["value"] is None and missing["average_precision"]["value"] is None
    assert missing["roc_auc"]["n"] == 1 and missing["roc_auc"]["groups"] == 0


def test_an_empty_split(make_images: Make, make_candidates: Make) -> None:
    table = tabled(make_candidates([]), boxes_table(), make_images({}), ["rust"])
    assert list(table) == SLIDE_COLUMNS and table.empty
    assert slide_figures(table) == {}
    assert presence_figures(table, "rust") == {"roc_auc": NOTHING, "average_precision": NOTHING}


def test_presence_is_that_of_scikit_learn_over_known_slides() -> None:
    table = ranked(150, 15)
    known = table[table["known"]]
    figures = presence_figures(table, "rust")
    assert figures["roc_auc"]["value"] == pytest.approx(sklearn.roc_auc_score(known["present"], known["score"]))
    assert figures["average_precision"]["value"] == sklearn.average_precision_score(known["present"], known["score"])
    # The AUC is also the share of pairs in the right order (Mann and Whitney 1947).
    bears = known["present"].to_numpy()
    ranks, pairs = rankdata(known["score"])[bears].sum(), bears.sum() * (~bears).sum()
    assert figures["roc_auc"]["value"] == pytest.approx((ranks - bears.sum() * (bears.sum() + 1) / 2) / pairs)
    assert figures["roc_auc"]["n"] == len(known) and figures["roc_auc"]["groups"] == 15


def test_the_interval_leaves_out_each_group_in_turn() -> None:
    table = ranked(150, 15)
    known = table[table["known"]]
    figures = presence_figures(table, "rust")
    for key, measure in (("roc_auc", sklearn.roc_auc_score), ("average_precision", sklearn.average_precision_score)):
        left = [known[known["group"] != group] for group in known["group"].unique()]
        without = np.array([measure(rows["present"], rows["score"]) for rows in left])
        expected = jackknife_interval(figures[key]["value"], without, "share")
        assert expected is not None
        assert figures[key]["interval"] == pytest.approx(list(expected))


def test_many_groups_are_left_out_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    table = ranked(300, 100)
    blocks = presence_figures(table, "rust")["roc_auc"]
    monkeypatch.setattr(presence, "BLOCKS", 1000)
    single = presence_figures(table, "rust")["roc_auc"]
    assert (blocks["value"], blocks["groups"]) == (single["value"], single["groups"])
    widths = [figure["interval"][1] - figure["interval"][0] for figure in (blocks, single)]
    assert widths[0] == pytest.approx(widths[1], rel=0.3) and blocks["interval"] != single["interval"]


def test_groups_are_those_of_the_scarcer_side() -> None:
    # 20 groups, but the class was seen in three of them: nobody can tell how it would rank in others.
    table = ranked(200, 20).assign(known=True)
    table["present"] &= table["group"].isin(["g0", "g1", "g2"])
    figures = presence_figures(table, "rust")["roc_auc"]
    assert figures["value"] is not None
    assert (figures["groups"], figures["more_groups"], figures["interval"]) == (3, 5, None)


def test_the_curves_are_those_of_scikit_learn_and_pass_through_the_operating_point() -> None:
    table = ranked(150, 15)
    known = table[table["known"]]
    curves = presence_curves(table, "rust")
    assert curves is not None
    fpr, tpr, thresholds = sklearn.roc_curve(known["present"], known["score"])
    assert (curves.fpr == fpr).all() and (curves.tpr == tpr).all() and (curves.roc_thresholds == thresholds).all()
    assert sklearn.auc(curves.fpr, curves.tpr) == pytest.approx(presence_figures(table, "rust")["roc_auc"]["value"])
    steps = -np.sum(np.diff(curves.recall) * curves.precision[:-1])
    assert steps == pytest.approx(presence_figures(table, "rust")["average_precision"]["value"])
    at = np.flatnonzero(curves.thresholds > 0.5)[0]
    assert curves.recall[at] == slide_figures(table)["rust"]["recall"]["value"]
    assert len(curves.recall) == len(curves.precision) == len(curves.thresholds) + 1


def test_without_scores_there_is_no_ranking(make_images: Make, make_boxes: Make, make_candidates: Make) -> None:
    images = make_images({"1.jpg": "g", "2.jpg": "h"})
    table = tabled(make_candidates([("1.jpg", "rust", np.nan, *HERE)]), make_boxes([LABEL]), images, ["rust"])
    assert slide_figures(table)["rust"]["tp"] == 1
    assert presence_curves(table, "rust") is None
    assert presence_figures(table, "rust")["roc_auc"]["value"] is None
    assert presence_figures(table, "rust")["roc_auc"]["n"] == 2


def test_the_figures_of_many_slides_take_no_second() -> None:
    classes = [f"class {number}" for number in range(5)]
    table = pd.concat([ranked(2000, 100, seed).assign(**{"class": name}) for seed, name in enumerate(classes)])
    start = time.process_time()
    slide_figures(table)
    for name in classes:
        presence_figures(table, name)
    assert time.process_time() - start < 4  # below 1 on one slow core
