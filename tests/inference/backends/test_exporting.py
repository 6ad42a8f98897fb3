from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.hashes import sha256_file
from spore_yolo.inference.backends import packages
from spore_yolo.inference.backends.exporting import export_network
from spore_yolo.inference.backends.openvino_runner import OpenVinoRunner
from tests.inference.backends.conftest import Exported, some_pixels


def test_the_same_checkpoint_gives_the_same_file(exported: Exported, tmp_path: Path) -> None:
    assert export_network(exported.classifier, "classifier", 32, "onnxruntime", tmp_path) == ["classifier.onnx"]
    assert sha256_file(tmp_path / "classifier.onnx") == sha256_file(exported.folder / "classifier.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["classifier.onnx"], "nothing else is left behind"


def test_a_file_says_nothing_of_when_and_where_it_was_made(exported: Exported) -> None:
    onnx = packages.import_package("onnx")
    facts = {entry.key: entry.value for entry in onnx.load(exported.folder / "detector.onnx").metadata_props}
    assert facts["names"] == "{0: 'spore'}", "what Ultralytics needs to predict with it is there"
    assert not {"date", "description"} & set(facts)


def test_ultralytics_predicts_with_the_file(exported: Exported) -> None:
    from spore_yolo.inference.ultralytics_setup import import_ultralytics

    model = import_ultralytics().YOLO(str(exported.folder / "detector.onnx"), task="detect")
    result = model.predict(some_pixels(1, 96, 96, 3)[0], imgsz=96, conf=0.0001, verbose=False)[0]
    assert result.names == {0: "spore"}


@pytest.mark.slow
def test_8_bits_come_out_alike_from_the_same_samples(exported: Exported, tmp_path: Path) -> None:
    outputs = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        crops = [some_pixels(16, 32, 32, 3, seed=seed) for seed in range(4)]
        files = export_network(exported.classifier, "classifier", 32, "openvino-int8", tmp_path / name, crops)
        assert files == ["classifier-int8.xml", "classifier-int8.bin"]
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == sorted(files)
        outputs.append(OpenVinoRunner(tmp_path / name / files[0], "classify", "int8")(some_pixels(8, 32, 32, 3)))
    assert np.array_equal(*outputs)


def test_8_bits_are_really_8_bits_but_for_the_boxes(exported: Exported) -> None:
    model = packages.import_package("openvino").Core().read_model(exported.folder / "detector-int8.xml")
    fake = [one.get_friendly_name() for one in model.get_ordered_ops() if one.get_type_name() == "FakeQuantize"]
    assert len(fake) > 50
    assert not [name for name in fake if "/dfl/" in name]
    size = (exported.folder / "detector-int8.bin").stat().st_size
    assert size < (exported.folder / "detector.onnx").stat().st_size / 3


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    path = tmp_path / "some.pt"
    path.write_bytes(b"nothing")
    with pytest.raises(SporeYoloError, match=r"some\.pt: cannot be exported"):
        export_network(path, "detector", 96, "openvino", tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["some.pt"]


def test_a_package_that_is_missing_is_named(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(SporeYoloError, match="nncf is missing .*pip install nncf"):
        export_network(exported.classifier, "classifier", 32, "openvino-int8", tmp_path, [])


def test_packages_report_nothing_home() -> None:
    # A thread that sends would open a socket; nothing here may ask for one.
    code = """
import socket
def refuse(*_, **__): raise SystemExit("something went to the network")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from spore_yolo.inference.backends.packages import import_package
import_package("openvino"); nncf = import_package("nncf"); import_package("onnxruntime")
from nncf.telemetry.wrapper import telemetry
from openvino.tools.ovc import telemetry_utils
print(type(telemetry).__name__, telemetry_utils.tm.__name__)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split()[-2:] == ["MagicMock", "openvino.tools.ovc.telemetry_stub"]
