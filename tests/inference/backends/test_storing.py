from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from spore_yolo.files.errors import SporeYoloError
from spore_yolo.inference.backends import storing
from spore_yolo.inference.backends.storing import add_backend, add_verification, backend_files, checkpoints_of
from spore_yolo.inference.manifest import BackendPart, OperatingPoint, read_manifest
from tests.inference.backends.conftest import Exported, other_machine, put, record

Make = Callable[..., Path]


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_the_pair_held_stays(exported_pair: Make, exported: Exported) -> None:
    folder = exported_pair()
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "report.html").write_text("a report")
    before, manifest = content_of(folder), read_manifest(folder)
    put(folder, exported, "openvino-int8", [])
    after = content_of(folder)
    assert {name: after[name] for name in before if name != "pair.yaml"} == {
        name: text for name, text in before.items() if name != "pair.yaml"
    }
    new = {f"{part}-int8.{end}" for part in ("detector", "classifier") for end in ("xml", "bin")}
    assert set(after) - set(before) == new
    now = read_manifest(folder)
    assert now.model_copy(update={"backends": {}}) == manifest
    assert backend_files(folder, now, "openvino-int8") == (
        folder / "detector-int8.xml",
        folder / "classifier-int8.xml",
    )


def test_a_failure_leaves_the_pair_as_it_was(
    exported_pair: Make, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported_pair(onnxruntime=[])
    before = content_of(folder)

    def fail(*_: Any) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(storing, "write_yaml", fail)
    with pytest.raises(OSError, match="no space"):
        put(folder, exported, "openvino-int8", [])
    assert content_of(folder) == before
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_two_backends_share_a_file_until_one_changes_it(
    exported_pair: Make, exported: Exported, tmp_path: Path
) -> None:
    folder = exported_pair(onnxruntime=[], openvino=[])
    assert set(read_manifest(folder).backends) == {"onnxruntime", "openvino"}
    other = tmp_path / "other"
    other.mkdir()
    files = {}
    for name in ("detector.onnx", "classifier.onnx"):
        (other / name).write_bytes(b"made by another version")
        files[name] = storing.sha256_file(other / name)
    part = read_manifest(folder).backends["openvino"].model_copy(update={"files": files})
    add_backend(folder, "openvino", part, other)
    now = read_manifest(folder)
    assert set(now.backends) == {"openvino"}, "the other would find a file that is not its own"
    assert backend_files(folder, now, "openvino")[0].read_bytes() == b"made by another version"


def test_backends_of_another_detector_go(exported_pair: Make, exported: Exported) -> None:
    folder = exported_pair(openvino_int8=[])
    content = yaml.safe_load((folder / "pair.yaml").read_text())
    content["backends"]["openvino-int8"]["made_from"]["detector"] = "0" * 64
    (folder / "pair.yaml").write_text(yaml.safe_dump(content))
    put(folder, exported, "openvino", [])
    assert set(read_manifest(folder).backends) == {"openvino"}
    assert not list(folder.glob("*int8*"))


def test_files_of_a_pair_that_was_trained_anew_are_not_put_there(exported_pair: Make, exported: Exported) -> None:
    folder = exported_pair()
    made_from = {**checkpoints_of(read_manifest(folder)), "detector": "0" * 64}
    part = BackendPart(detector="detector.onnx", classifier="classifier.onnx", files={}, made_from=made_from)
    with pytest.raises(SporeYoloError, match="trained anew meanwhile"):
        add_backend(folder, "openvino", part, exported.folder)


def test_a_link_to_a_pair_stays_a_link(exported_pair: Make, exported: Exported, tmp_path: Path) -> None:
    folder = exported_pair()
    link = tmp_path / "link"
    link.symlink_to(folder)
    put(link, exported, "openvino", [])
    assert link.is_symlink()
    assert "openvino" in read_manifest(folder).backends


def test_a_record_takes_the_place_of_that_of_the_same_machine(exported_pair: Make) -> None:
    folder = exported_pair(openvino=[record(date="old"), record(date="other", machine=other_machine(cpu="other"))])
    add_verification(folder, "openvino", record(date="new"))
    assert [one.date for one in read_manifest(folder).backends["openvino"].verified] == ["other", "new"]


def test_a_record_keeps_what_was_written_meanwhile(exported_pair: Make) -> None:
    folder = exported_pair(openvino=[])
    content = yaml.safe_load((folder / "pair.yaml").read_text())
    content["operating_point"] = {"detector": 0.25, "class": {}}
    (folder / "pair.yaml").write_text(yaml.safe_dump(content))
    add_verification(folder, "openvino", record())
    assert read_manifest(folder).operating_point == OperatingPoint(detector=0.25)


def test_a_record_of_files_that_are_gone(exported_pair: Make) -> None:
    with pytest.raises(SporeYoloError, match="made anew meanwhile"):
        add_verification(exported_pair(), "openvino", record())


@pytest.mark.parametrize("name", ["detector-int8.xml", "detector-int8.bin", "classifier-int8.bin"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(
            lambda path: path.write_bytes(b"changed"), r"SHA-256 differs.*export-model .*--int8", id="changed"
        ),
        pytest.param(lambda path: path.unlink(), "no such file; copy the pair whole", id="gone"),
    ],
)
def test_every_file_is_checked(name: str, damage: Callable[[Path], None], message: str, exported_pair: Make) -> None:
    folder = exported_pair(openvino_int8=[])
    damage(folder / name)
    with pytest.raises(SporeYoloError, match=message) as error:
        backend_files(folder, read_manifest(folder), "openvino-int8")
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"files": {"../evil.onnx": "0" * 64}, "detector": "../evil.onnx"}, "files: expected", id="a path"),
        pytest.param({"detector": "/etc/passwd"}, "files: expected", id="a file without a hash"),
        pytest.param({"detector": "detector.xml", "files": {"detector.xml": ""}}, "files: expected", id="no weights"),
        pytest.param({"classifier": None}, "files: expected", id="no classifier"),
    ],
)
def test_only_files_of_the_folder_with_a_hash_are_taken(
    changes: dict[str, Any], message: str, exported_pair: Make
) -> None:
    folder = exported_pair(openvino=[])
    content = yaml.safe_load((folder / "pair.yaml").read_text())
    content["backends"]["openvino"] |= changes
    (folder / "pair.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(SporeYoloError, match=message):
        backend_files(folder, read_manifest(folder), "openvino")


def test_a_path_is_refused_also_with_a_hash(exported_pair: Make) -> None:
    folder = exported_pair(openvino=[])
    outside = folder.parent / "evil.onnx"
    outside.write_bytes(b"evil")
    content = yaml.safe_load((folder / "pair.yaml").read_text())
    part = content["backends"]["openvino"]
    part["detector"] = "../evil.onnx"
    part["files"]["../evil.onnx"] = storing.sha256_file(outside)
    (folder / "pair.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(SporeYoloError, match=r"expected file names, found '\.\./evil\.onnx'"):
        backend_files(folder, read_manifest(folder), "openvino")
