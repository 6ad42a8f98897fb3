"""What FiftyOne itself finds, on a real database, against our own tables."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from spore_yolo.evaluation.confusion import BACKGROUND, confusion_matrix
from spore_yolo.evaluation.crops import crop_figures, crops_table
from spore_yolo.evaluation.fiftyone_boxes import Shown
from spore_yolo.evaluation.fiftyone_dataset import build_dataset
from spore_yolo.evaluation.presence import slide_figures, slides_table
from spore_yolo.evaluation.scoring import detections_of, matches_table, score_candidates
from spore_yolo.inference.manifest import DEBRIS, OperatingPoint
from spore_yolo.labels.table import COORDINATES
from tests.evaluation.fiftyone_case import by_hand, by_hand_built, fiftyone, shown

# Each starts a database of its own.
pytestmark = pytest.mark.slow

Split = Callable[[int], tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]]


@pytest.fixture
def built() -> Any:
    return by_hand_built()


def outcomes(dataset: Any, key: str) -> Counter[tuple[Any, ...]]:
    """What became of each box: slide, class, outcome and box; labels that were found are told by their detection."""
    found: Counter[tuple[Any, ...]] = Counter()
    for sample in dataset:
        width, height = sample.metadata.width, sample.metadata.height
        missed = [box for box in sample.ground_truth.detections if box[key] == "fn"]
        for box in [*sample.predictions.detections, *missed]:
            x, y, w, h = box.bounding_box
            corners = (x * width, y * height, (x + w) * width, (y + h) * height)
            found[(sample.slide, box.label, box[key], *(round(value, 4) for value in corners))] += 1
    return found


def expected(case: Shown) -> Counter[tuple[Any, ...]]:
    """The same by our own matching."""
    detections = detections_of(case.candidates, case.point)
    table = matches_table(score_candidates(detections, case.boxes, case.images, case.classes, case.iou))
    table[COORDINATES] = table[COORDINATES].round(4)
    return Counter(table[["slide", "class", "outcome", *COORDINATES]].itertuples(index=False, name=None))


def random_case(random_split: Split, seed: int) -> Shown:
    candidates, boxes, images = random_split(seed)
    # Every tenth candidate is named as the other class, so that there is something to confuse.
    other = candidates["class"].map({"a": "b", "b": "a"}).where(np.arange(len(candidates)) % 10 == 0)
    candidates = candidates.assign(**{"class": other.fillna(candidates["class"])})
    return shown(candidates, boxes, images, ["a", "b"], OperatingPoint(detector=0.3))


def test_counts_of_the_split_worked_out_on_paper(built: Any) -> None:
    assert built.count_values("predictions.detections.eval") == {"tp": 2, "fp": 6, "ignored": 1}
    assert built.count_values("ground_truth.detections.eval") == {"tp": 2, "fn": 5}
    per_slide = zip(*built.values(["slide", "eval_tp", "eval_fp", "eval_fn"]), strict=True)
    assert list(per_slide) == [
        ("s1.jpg", 1, 2, 2),
        ("s2.jpg", 1, 1, 2),
        ("s3.jpg", 0, 1, 1),
        ("s4.jpg", 0, 2, 0),
        ("s5.jpg", 0, 0, 0),
    ]


def test_boxes_of_the_split_worked_out_on_paper(built: Any) -> None:
    assert outcomes(built, "eval") == expected(by_hand())


def test_matches_are_told_on_both_boxes(built: Any) -> None:
    sample = built.match(fiftyone().ViewField("slide") == "s2.jpg").first()
    label = next(box for box in sample.ground_truth.detections if box.eval == "tp")
    found = next(box for box in sample.predictions.detections if box.eval == "tp")
    assert (label.eval_id, found.eval_id) == (found.id, label.id)
    assert label.eval_iou == found.eval_iou == pytest.approx(1)
    # S1 is called rust: a false alarm class by class, a confusion without regard to class.
    wrong = next(box for box in sample.predictions.detections if box.label == "rust")
    assert (wrong.eval, wrong.eval_id) == ("fp", "")
    assert (wrong.eval_any, wrong.labelled) == ("fp", "smut")


@pytest.mark.parametrize("seed", [0, 1])
def test_fiftyone_counts_as_we_do(random_split: Split, seed: int) -> None:
    case = random_case(random_split, seed)
    dataset = build_dataset(fiftyone(), "random", case)
    ours = expected(case)
    assert outcomes(dataset, "eval") == ours
    assert {"tp", "fp", "fn", "ignored"} == {outcome for _, _, outcome, *_ in ours}
    totals = Counter(outcome for _, _, outcome, *_ in ours.elements())
    for outcome in ("tp", "fp", "fn"):
        assert dataset.sum(f"eval_{outcome}") == totals[outcome]
    report = dataset.load_evaluation_results("eval").metrics()
    assert report["recall"] == pytest.approx(totals["tp"] / (totals["tp"] + totals["fn"]))
    assert report["precision"] == pytest.approx(totals["tp"] / (totals["tp"] + totals["fp"]))

    detections = detections_of(case.candidates, case.point)
    confusion = confusion_matrix(detections, case.boxes, case.images, case.classes)
    names = [*case.classes, BACKGROUND]
    results = dataset.load_evaluation_results("eval_any")
    assert results.confusion_matrix(classes=names).tolist() == confusion.to_numpy().tolist()
    assert confusion.loc["a", "b"] > 0
    confused = int(confusion.loc["a", "b"] + confusion.loc["b", "a"])
    assert len(dataset.load_saved_view("confused")) == confused
    check_slides(dataset, case)


def test_an_overlap_that_is_just_enough(
    make_images: Callable[..., pd.DataFrame],
    make_boxes: Callable[..., pd.DataFrame],
    make_candidates: Callable[..., pd.DataFrame],
) -> None:
    """IoU 0.5 in whole pixels, where most of these boxes have less in coordinates relative to the slide."""
    corners = [(x, y) for x in range(1, 280, 31) for y in range(2, 200, 29)]
    images = make_images({"a.jpg": "g"}, width=300, height=221)
    boxes = make_boxes([("a.jpg", "a", x, y, x + 20, y + 10) for x, y in corners])
    candidates = make_candidates([("a.jpg", "a", 0.9, x, y, x + 10, y + 10) for x, y in corners])
    case = shown(candidates, boxes, images, ["a"], OperatingPoint(detector=0.3))
    dataset = build_dataset(fiftyone(), "just-enough", case)
    assert dataset.sum("eval_tp") == len(corners)
    assert dataset.get_evaluation_info("eval").config.iou == 0.5


@pytest.mark.parametrize("seed", [None, 0])
def test_crops_as_classifications(random_split: Split, seed: int | None) -> None:
    """Recall and specificity over crops are what FiftyOne's evaluation of classifications makes of them."""
    case = by_hand() if seed is None else random_case(random_split, seed)
    crops = crops_table(case.candidates, case.boxes, case.images, case.point)
    known = crops[crops["left_out"] == ""]
    classes = [*case.classes, DEBRIS]
    pairs = zip(known["truth"], known["called"], strict=True)
    matrix = classified(pairs, classes=classes).confusion_matrix(classes=classes)
    for number, name in enumerate(case.classes):
        figures = crop_figures(crops, case.classes)[name]
        tp, positives, reported = matrix[number, number], matrix[number].sum(), matrix[:, number].sum()
        negatives = matrix.sum() - positives
        assert figures["recall"]["value"] == (tp / positives if positives else None)
        assert figures["specificity"]["value"] == pytest.approx(1 - (reported - tp) / negatives)


def test_slides_as_classifications(built: Any) -> None:
    check_slides(built, by_hand())


def check_slides(dataset: Any, case: Shown) -> None:
    """Recall and specificity over slides are what FiftyOne's evaluation of yes and no makes of the slides."""
    detections = detections_of(case.candidates, case.point)
    scored = score_candidates(detections, case.boxes, case.images, case.classes)
    figures = slide_figures(slides_table(case.candidates, scored, case.boxes, case.images, case.classes))
    slides = pd.DataFrame({name: dataset.values(name) for name in ("slide", "present", "reported")})
    for name in case.classes:
        certain = slides[[decided(case, scored.candidates, slide, name) for slide in slides["slide"]]]
        assert len(slides) - len(certain) == figures[name]["left_out"]
        pairs = [
            (str(name in present), str(name in reported))
            for present, reported in zip(certain["present"], certain["reported"], strict=True)
        ]
        (tn, fp), (fn, tp) = classified(pairs, method="binary", classes=["False", "True"]).confusion_matrix()
        assert figures[name]["recall"]["value"] == (tp / (tp + fn) if tp + fn else None)
        assert figures[name]["specificity"]["value"] == (tn / (tn + fp) if tn + fp else None)


def decided(case: Shown, detections: pd.DataFrame, slide: str, name: str) -> bool:
    """Whether it is known if the class is on the slide: see docs/evaluation.md, "Over slides"."""
    here = case.boxes[case.boxes["image"] == slide]
    if ((here["class"] == name) & ~here["ignored"]).any():
        return True
    found = detections[(detections["slide"] == slide) & (detections["class"] == name)]
    only_on_ignored = len(found) > 0 and found["on_ignored"].all()
    return not ((here["class"] == name) & here["ignored"]).any() and not only_on_ignored


def classified(pairs: Iterable[tuple[str, str]], **options: Any) -> Any:
    """What FiftyOne makes of pairs of a true and a found class."""
    module = fiftyone()
    dataset = module.Dataset("classified", overwrite=True)
    for path in ("truth", "found"):
        dataset.add_sample_field(path, module.EmbeddedDocumentField, embedded_doc_type=module.Classification)
    dataset.add_samples(
        [
            module.Sample(
                filepath=f"/crops/{number}.jpg",
                truth=module.Classification(label=truth),
                found=module.Classification(label=found),
            )
            for number, (truth, found) in enumerate(pairs)
        ],
        progress=False,
    )
    return dataset.evaluate_classifications("found", gt_field="truth", progress=False, **options)


def test_every_slide_and_box_is_there(built: Any) -> None:
    case = by_hand()
    assert built.values("slide") == case.images["image"].tolist()
    assert built.values("group") == case.images["group"].tolist()
    assert built.values("split") == case.images["split"].tolist()
    assert [tags for (tags,) in built.values("tags")] == case.images["split"].tolist()
    assert built.values("boxes") == [3, 3, 1, 0, 0]
    assert built.values("present") == [["rust"], ["smut"], ["rust"], [], []]
    assert built.values("reported") == [["rust"], ["rust", "smut"], ["smut"], ["ergot", "rust"], []]
    assert built.count("ground_truth.detections") == 7
    assert built.count_values("ignored.detections.label") == {"smut": 1}
    assert built.count("candidates.detections") == len(case.candidates)


def test_candidates_bear_what_they_are_called(built: Any) -> None:
    assert built.count_values("candidates.detections.called") == {"rust": 5, "smut": 3, "ergot": 1, DEBRIS: 5}
    first = built.first().candidates.detections[0]
    assert (first.label, first.detector_class, first.detector_score, first.class_score) == ("rust", "spore", 0.9, 0.9)
    assert first.confidence == pytest.approx(0.81)
    assert first.bounding_box == [0.0, 0.0, 0.02, 0.04]


def test_a_detector_alone_has_no_class_score(random_split: Split) -> None:
    dataset = build_dataset(fiftyone(), "alone", random_case(random_split, 3))
    assert dataset.values("predictions.detections.class_score", unwind=True).count(None) == dataset.count(
        "predictions.detections"
    )
    assert dataset.bounds("predictions.detections.detector_score")[0] >= 0.3


def test_sizes(built: Any) -> None:
    # The median of sides 20, 20, 20, 20, 40, 40, 40 is 20; twice its area is a side of 28.3.
    sizes = built.values("ground_truth.detections.size", unwind=True)
    assert Counter(sizes) == {"M": 4, "L": 3}
    assert built.first().predictions.detections[2].size == "S"  # 20 x 6
    assert "um_per_px" not in built.get_field_schema()


def test_sizes_in_micrometres_where_the_scale_is_known() -> None:
    case = by_hand()
    case = replace(case, images=case.images.assign(um_per_px=[0.5, np.nan, np.nan, np.nan, np.nan]))
    dataset = build_dataset(fiftyone(), "scaled", case)
    assert dataset.values("um_per_px") == [0.5, None, None, None, None]
    sides = dataset.values("ground_truth.detections.side_um")
    assert sides[0] == pytest.approx([10, 10, 10])
    assert sides[1] == [None, None, None]


def test_info_says_what_was_shown(built: Any) -> None:
    info = built.info
    assert info["operating_point"] == {"detector": 0.2, "class": {"rust": 0.5, "smut": 0.4, "ergot": 0.5}}
    assert info["targets"] == ["rust"]
    # Slides 1, 3 and 5 are of the validation split.
    assert info["figures"]["val"]["rust"] == {"tp": 1, "fp": 2, "fn": 3, "recall": 0.25, "precision": 1 / 3}
    assert info["figures"]["test"]["ergot"]["recall"] is None


def stored(dataset: Any) -> dict[str, Any]:
    """All that a dataset keeps besides its boxes: fields, evaluations, brain runs, views and workspaces."""
    return {
        "fields": set(dataset.get_field_schema(flat=True)),
        "evaluations": dataset.list_evaluations(),
        "brain runs": dataset.list_brain_runs(),
        "views": dataset.list_saved_views(),
        "workspaces": dataset.list_workspaces(),
        "info": dataset.info,
    }


def test_built_again_nothing_old_is_left() -> None:
    """Built twice in one database, with other thresholds and classes: it is as if built for the first time."""
    case, module = by_hand(), fiftyone()
    build_dataset(module, "again", case)
    dataset = module.load_dataset("again")
    dataset.add_sample_field("stale", module.StringField)
    dataset.set_values("stale", ["old"] * 5)
    dataset.save_view("mine", dataset.limit(1))
    other = replace(
        case,
        candidates=case.candidates.replace({"class": {"ergot": "yew"}}),
        classes=["rust", "smut", "yew"],
        point=OperatingPoint(detector=0.95),
        targets=["smut"],
        features=None,
    )
    again = build_dataset(module, "again", other)
    assert stored(again) == stored(build_dataset(module, "first", other))
    assert again.count_values("predictions.detections.eval") == {"ignored": 1}
    assert again.default_classes == ["rust", "smut", "yew"]
    assert again.list_brain_runs() == []
    assert "crops" not in again.get_field_schema()
    # And back again.
    assert stored(build_dataset(module, "again", case)) == stored(by_hand_built())
    assert module.list_datasets().count("again") == 1


def test_nothing_found_and_nothing_labelled() -> None:
    case = by_hand()
    nothing = replace(case, candidates=case.candidates.iloc[:0], boxes=case.boxes.iloc[:0])
    dataset = build_dataset(fiftyone(), "nothing", nothing)
    assert dataset.values("eval_fp") == [0] * 5
    assert dataset.info["crops"] == {"shown": 0, "of": 0}
    for name in dataset.list_saved_views():
        view = dataset.load_saved_view(name)
        assert len(view) == {"groups": 4, "split test": 2, "split val": 3}.get(name, 0), name


def test_mistakenness_is_that_of_fiftyone(random_split: Split) -> None:
    """FiftyOne's brain on the same boxes; those on ignored boxes, which it would count, are taken out before."""
    case = random_case(random_split, 1)
    dataset = build_dataset(fiftyone(), "mistaken", case)
    theirs = dataset.filter_labels("predictions", ~fiftyone().ViewField("on_ignored_any"), only_matches=False).clone(
        "mistaken too"
    )
    theirs.delete_evaluations()
    theirs.rename_sample_field("ground_truth.detections.mistakenness", "ground_truth.detections.ours")
    importlib.import_module("fiftyone.brain").compute_mistakenness(theirs, "predictions", "ground_truth")
    values = theirs.values(["ground_truth.detections.mistakenness", "ground_truth.detections.ours"], unwind=True)
    both = np.array(values, dtype=np.float64)
    assert np.nanmax(both[0]) > 0.5
    assert np.isnan(both[0]).any()
    np.testing.assert_allclose(both[0], both[1], atol=1e-12)


def test_crops_are_laid_out_by_what_the_classifier_sees(built: Any) -> None:
    """Points lie as their features' main components do: here where the crops lie on the slides, but for noise."""
    results = built.load_brain_results("crops")
    assert (results.config.method, results.config.patches_field, results.points.shape) == ("pca", "crops", (13, 2))
    crops = [crop for sample in built for crop in sample.crops.detections]
    assert Counter(crop.outcome for crop in crops) == {"tp": 2, "fp": 6, "fn": 5}
    corner = {crop.id: np.array(crop.bounding_box[:2]) * (1000, 500) for crop in crops}
    corners = np.array([corner[crop] for crop in results.label_ids])
    apart = np.linalg.norm(corners[:, None] - corners[None], axis=-1)
    laid = np.linalg.norm(results.points[:, None] - results.points[None], axis=-1)
    np.testing.assert_allclose(laid, apart, atol=3)


def test_without_a_classifier_there_are_no_crops() -> None:
    dataset = build_dataset(fiftyone(), "no-classifier", replace(by_hand(), features=None))
    assert "crops" not in dataset.get_field_schema()
    assert dataset.list_brain_runs() == []
    assert dataset.list_workspaces() == ["imbalance", "evaluation"]
    assert "crops" not in dataset.list_saved_views()
    assert dataset.info["crops"] == {"shown": 0, "of": 0}
