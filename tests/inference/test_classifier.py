from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, softmax

from spore_yolo.files.errors import SporeYoloError, UsageError
from spore_yolo.inference.classifier import Classifier, CropNamer, calibrated
from spore_yolo.inference.crops import cut_crops
from spore_yolo.inference.manifest import ClassifierPart


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    """Crops that differ in colour, so that the order of the channels shows."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 256, (7, 1, 1, 3))
    return np.clip(ground + rng.integers(-40, 40, (7, 32, 32, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def checkpoint(untrained_classifier: Path, crops: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained classifier, its normalisation set to the crops; as it comes, all crops look the same to it."""
    import torch

    content = torch.load(untrained_classifier, weights_only=False)
    network = content["model"].train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the mean over all batches seen
    with torch.no_grad():
        network(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255)
    path = tmp_path_factory.mktemp("lively") / "lively.pt"
    torch.save({**content, "model": network.eval()}, path)
    return path


@pytest.fixture(scope="module")
def classifier(checkpoint: Path) -> Classifier:
    return Classifier.load(checkpoint, "cpu")


def test_names_come_in_the_order_of_the_class_numbers(classifier: Classifier) -> None:
    assert classifier.names == ["debris", "rust", "smut"]


def test_agrees_with_plain_ultralytics(classifier: Classifier, crops: np.ndarray, checkpoint: Path) -> None:
    from ultralytics import YOLO

    results = YOLO(str(checkpoint)).predict(
        [crop[:, :, ::-1].copy() for crop in crops], imgsz=32, device="cpu", verbose=False, save=False
    )
    theirs = np.array([result.probs.data.numpy() for result in results])
    ours = np.exp(classifier.log_probabilities(crops))
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert np.ptp(ours, axis=0).max() > 0.01, "the crops must not all look the same to it"
    swapped = np.exp(classifier.log_probabilities(crops[..., ::-1].copy()))
    assert np.abs(swapped - ours).max() > 0.01, "nor may red and blue"


def test_many_crops_are_as_one_by_one(
    classifier: Classifier, crops: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier.runner, "batch", 3)
    together = classifier.log_probabilities(crops)
    assert together.shape == (7, 3)
    one_by_one = np.concatenate([classifier.log_probabilities(crops[i : i + 1]) for i in range(7)])
    assert together == pytest.approx(one_by_one, abs=1e-5)


def test_no_crops(classifier: Classifier) -> None:
    assert classifier.log_probabilities(np.zeros((0, 32, 32, 3), dtype=np.uint8)).shape == (0, 3)


def test_what_rounds_to_certainty_is_kept(untrained_classifier: Path, crops: np.ndarray) -> None:
    import torch

    sure = Classifier.load(untrained_classifier, "cpu")
    logits = torch.tensor([[0.0, 150.0, 100.0]]).repeat(len(crops), 1)
    sure.runner._run = lambda pixels: (logits.softmax(dim=1), logits)
    expected = log_softmax(logits.double().numpy(), axis=1)
    assert sure.log_probabilities(crops) == pytest.approx(expected)
    # As probabilities both would be 0, and no temperature could tell them apart.
    assert expected[0, 2] == pytest.approx(-50)
    assert expected[0, 0] == pytest.approx(-150)


def test_a_network_that_gives_probabilities_only(untrained_classifier: Path, crops: np.ndarray) -> None:
    import torch

    exported = Classifier.load(untrained_classifier, "cpu")
    shares = torch.tensor([[0.25, 0.75, 0.0]]).repeat(len(crops), 1)
    exported.runner._run = lambda pixels: shares
    assert np.exp(exported.log_probabilities(crops)) == pytest.approx(shares.numpy())


def _missing(path: Path, detector: Path) -> None:
    pass


def _no_checkpoint(path: Path, detector: Path) -> None:
    path.write_bytes(b"hello" * 100)


def _a_detector(path: Path, detector: Path) -> None:
    path.write_bytes(detector.read_bytes())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(_missing, "no such file; expected a YOLOv8 classifier", id="missing"),
        pytest.param(_no_checkpoint, "damaged, or no YOLOv8 classifier", id="another file"),
        pytest.param(_a_detector, "expected a classifier, found a model for the task 'detect'", id="a detector"),
    ],
)
def test_files_that_are_no_classifier(make, message: str, tmp_path: Path, untrained_checkpoint: Path) -> None:
    path = tmp_path / "classifier.pt"
    make(path, untrained_checkpoint)
    with pytest.raises(SporeYoloError, match=message) as error:
        Classifier.load(path, "cpu")
    assert str(path) in str(error.value)


def test_a_device_that_is_not_there(untrained_classifier: Path) -> None:
    with pytest.raises(UsageError, match="--device"):
        Classifier.load(untrained_classifier, "77")


opinions = arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(2, 5)), elements=st.floats(-300, 0, width=32))
temperatures = st.floats(0.05, 20)


@given(opinions, temperatures)
def test_calibrated_is_the_softmax_over_the_temperature(values: np.ndarray, temperature: float) -> None:
    before = values.copy()
    probabilities = calibrated(values, temperature)
    assert probabilities == pytest.approx(softmax(values / temperature, axis=1), abs=1e-12)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(values, before), "what is given is left as it was"


@given(opinions, temperatures, st.floats(-1000, 1000))
def test_a_constant_a_row_makes_no_difference(values: np.ndarray, temperature: float, constant: float) -> None:
    assert calibrated(values + constant, temperature) == pytest.approx(calibrated(values, temperature), abs=1e-6)


def test_a_high_temperature_softens_and_a_low_one_sharpens() -> None:
    values = np.log([[0.7, 0.2, 0.1]])
    assert calibrated(values, 1.0) == pytest.approx(np.exp(values))
    # By hand: the roots 0.8367, 0.4472, 0.3162 add up to 1.6001.
    assert calibrated(values, 2.0)[0] == pytest.approx([0.5229, 0.2795, 0.1976], abs=1e-4)
    # The squares 0.49, 0.04, 0.01 add up to 0.54.
    assert calibrated(values, 0.5)[0] == pytest.approx([0.49 / 0.54, 0.04 / 0.54, 0.01 / 0.54])


def test_calibrated_nothing() -> None:
    assert calibrated(np.zeros((0, 3)), 1.5).shape == (0, 3)


def part(**changes: object) -> ClassifierPart:
    content: dict[str, object] = {"file": "c.pt", "sha256": "", "model": "yolov8n-cls"}
    content |= {"classes": ["debris", "rust", "smut"], "crop_size": 32, "margin": 0.25, "temperature": 2.0}
    return ClassifierPart.model_validate(content | changes)


def test_boxes_are_named_as_the_manifest_says(classifier: Classifier, crops: np.ndarray) -> None:
    # A slide of seven patches side by side, each with its own colour.
    slide = np.concatenate(list(crops), axis=1)
    boxes = np.array([(32 * n + 6, 6, 32 * n + 26, 20) for n in range(7)], dtype=np.float64)
    names, scores = CropNamer(classifier, part()).classify(slide, boxes)
    seen = classifier.log_probabilities(cut_crops(slide, boxes, 0.25, 32))
    expected = softmax(seen / 2.0, axis=1)
    assert scores == pytest.approx(expected.max(axis=1))
    assert names.tolist() == [["debris", "rust", "smut"][place] for place in expected.argmax(axis=1)]
    # Another margin shows it more of the neighbours.
    _, others = CropNamer(classifier, part(margin=1.0)).classify(slide, boxes)
    assert np.abs(others - scores).max() > 1e-3


def test_no_boxes_are_no_names(classifier: Classifier, crops: np.ndarray) -> None:
    names, scores = CropNamer(classifier, part()).classify(crops[0], np.zeros((0, 4)))
    assert (names.shape, scores.shape) == ((0,), (0,))


@pytest.mark.parametrize(
    ("shares", "debris_from", "name", "score"),
    [
        pytest.param([0.6, 0.3, 0.1], 0.0, "debris", 0.6, id="the most probable class"),
        pytest.param([0.6, 0.3, 0.1], 0.6, "debris", 0.6, id="just sure enough"),
        pytest.param([0.6, 0.3, 0.1], 0.61, "rust", 0.3, id="not sure enough: the best of the others"),
        pytest.param([0.6, 0.1, 0.3], 0.9, "smut", 0.3, id="whichever that is"),
        pytest.param([0.3, 0.6, 0.1], 0.9, "rust", 0.6, id="debris is not the most probable"),
        pytest.param([0.3, 0.1, 0.6], 0.2, "smut", 0.6, id="nor does it become so"),
        pytest.param([1.0, 0.0, 0.0], 1.0, "debris", 1.0, id="certain"),
    ],
)
def test_how_sure_of_debris(
    classifier: Classifier, shares: list[float], debris_from: float, name: str, score: float
) -> None:
    names, scores = CropNamer(classifier, part(debris_from=debris_from)).name(np.array([shares]))
    assert (names.tolist(), scores.tolist()) == ([name], [score])
    # The same where debris is another number.
    order = ["rust", "smut", "debris"]
    turned = CropNamer(classifier, part(classes=order, debris_from=debris_from))
    names, scores = turned.name(np.array([[*shares[1:], shares[0]]]))
    assert (names.tolist(), scores.tolist()) == ([name], [score])


def test_a_classifier_that_knows_no_debris(classifier: Classifier) -> None:
    names, scores = CropNamer(classifier, part(classes=["rust", "smut"], debris_from=0.9)).name(np.array([[0.6, 0.4]]))
    assert (names.tolist(), scores.tolist()) == (["rust"], [0.6])


def test_features_are_what_the_last_layer_turns_into_logits(classifier: Classifier, crops: np.ndarray) -> None:
    import torch

    features = classifier.features(crops)
    assert (features.shape, features.dtype) == ((len(crops), 1280), np.float32)
    layer = [layer for layer in classifier.runner.network.modules() if isinstance(layer, torch.nn.Linear)][-1]
    weight, bias = (part.detach().numpy().astype(np.float64) for part in (layer.weight, layer.bias))
    logits = features.astype(np.float64) @ weight.T + bias
    np.testing.assert_allclose(log_softmax(logits, axis=1), classifier.log_probabilities(crops), atol=1e-4)
    assert np.ptp(features, axis=0).max() > 0.1


def test_features_do_not_depend_on_the_batch(
    classifier: Classifier, crops: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = classifier.features(crops)
    monkeypatch.setattr(classifier.runner, "batch", 3)
    np.testing.assert_allclose(classifier.features(crops), together, atol=1e-4)
    assert classifier.features(crops[:0]).shape == (0, 1280)


def test_looking_at_features_leaves_nothing_behind(classifier: Classifier, crops: np.ndarray) -> None:
    before = classifier.log_probabilities(crops)
    classifier.features(crops)
    np.testing.assert_array_equal(classifier.log_probabilities(crops), before)
    assert not any(layer._forward_pre_hooks for layer in classifier.runner.network.modules())
