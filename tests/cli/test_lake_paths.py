from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spore_yolo.cli.lake_paths import mirrored
from spore_yolo.cli.main import build_parser
from spore_yolo.files.errors import SporeYoloError
from spore_yolo.files.lake import Lake, LakeVersion, RemotePath, mirror_of, mirror_root
from tests.conftest import Drawn, spot_manifest
from tests.lake_server import Bucket
from tests.toy_runs import Trainings

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def slides(s3: Bucket, drawn: Drawn) -> str:
    """The drawn slides and their labels in the bucket; gives the address of the folder that holds both."""
    for path in drawn.folder.iterdir():
        s3.put(f"lake/slides/{path.name}", path.read_bytes())
    s3.put("lake/labels.csv", drawn.labels.read_bytes())
    return f"{s3.address}/lake"


def another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str = "another") -> Path:
    """From here on nothing is on disk but what the data lake brings."""
    monkeypatch.setenv("SPORE_YOLO_CACHE", str(tmp_path / name / "cache"))
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def imported(spore_yolo: Run, lake: str, *more: str) -> tuple[int, str, str]:
    options = ["--images", f"{lake}/slides", "--labels", f"{lake}/labels.csv", "--targets", "smut"]
    return spore_yolo("import", "toy", *options, "--data", f"{lake}/data", "--datasets", f"{lake}/datasets.yaml", *more)


def test_a_dataset_in_the_lake_is_checked_imported_and_described_on_any_machine(
    spore_yolo: Run, s3: Bucket, slides: str, drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = spore_yolo("check", f"{slides}/labels.csv", "--images", f"{slides}/slides")
    assert code == 0, err
    assert str(mirror_root()) not in out + err
    assert f"{slides}/labels.csv" in out + err
    code, out, err = imported(spore_yolo, slides)
    assert code == 0, err
    assert str(mirror_root()) not in out + err
    names = {key for key in s3.etags() if "/.spore-yolo/" not in key}
    assert {"lake/datasets.yaml", "lake/data/toy/boxes.csv", "lake/data/toy/images.csv"} <= names
    assert not [name for name in names if name.startswith("lake/data/toy/images/")]  # links to slides
    assert "images: slides\n" in s3.get("lake/datasets.yaml").decode()

    another_machine(monkeypatch, tmp_path)
    code, out, err = spore_yolo(
        "describe", "toy", "--datasets", f"{slides}/datasets.yaml", "--output", f"{slides}/reports/toy"
    )
    assert code == 0, err
    assert f"look at: {slides}/reports/toy/describe.html" in out
    assert s3.get("lake/reports/toy/describe.html")

    # The same slides on disk are the same dataset.
    options = ["--images", drawn.folder, "--labels", drawn.labels, "--targets", "smut"]
    assert spore_yolo("import", "toy", *options)[0] == 0
    local = pd.read_csv("data/toy/images.csv")
    pd.testing.assert_frame_equal(local, pd.read_csv(mirror_of(RemotePath(s3.name, "lake/data/toy/images.csv"))))


def test_an_import_on_another_machine_keeps_the_split(
    spore_yolo: Run, s3: Bucket, slides: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert imported(spore_yolo, slides)[0] == 0
    first, fingerprint = s3.get("lake/data/toy/images.csv"), s3.get("lake/data/toy/manifest.json")
    another_machine(monkeypatch, tmp_path)
    code, _, err = imported(spore_yolo, slides, "--split", "20,20,60")
    assert code == 2 and "was imported with split" in err
    code, _, err = imported(spore_yolo, slides)
    assert code == 0, err
    assert (s3.get("lake/data/toy/images.csv"), s3.get("lake/data/toy/manifest.json")) == (first, fingerprint)


def test_a_register_in_the_lake_names_nothing_on_a_disk(spore_yolo: Run, s3: Bucket, slides: str, drawn: Drawn) -> None:
    code, _, err = spore_yolo(
        "import", "toy", "--images", drawn.folder, "--labels", f"{slides}/labels.csv", "--data", f"{slides}/data",
        "--datasets", f"{slides}/datasets.yaml",
    )  # fmt: skip
    assert code == 2
    assert "--images" in err and "expected an s3:// address" in err and "spore-yolo lake push" in err
    assert "lake/datasets.yaml" not in s3.etags()


def test_predictions_from_the_lake_to_the_lake_are_those_of_the_disk(
    spore_yolo: Run, s3: Bucket, slides: str, drawn: Drawn, spot_pair: Path, tmp_path: Path
) -> None:
    Lake().push(spot_pair.parent, RemotePath.parse(f"{slides}/runs/spots"))
    code, _, err = spore_yolo("predict", "--run", spot_pair.parent, "--source", drawn.folder, "--output", "found")
    assert code == 0, err
    address = f"{slides}/slides"
    code, out, err = spore_yolo(
        "predict", "--run", f"{slides}/runs/spots", "--source", address, "--output", f"{slides}/found"
    )
    assert code == 0, err
    assert str(mirror_root()) not in out + err and f"{slides}/found" in out
    ours = tmp_path / "ours"
    Lake().pull(RemotePath.parse(f"{slides}/found"), ours)
    assert not [key for key in s3.etags() if ".unfinished" in key]
    for name in ("candidates.csv", "predictions.csv", "counts.csv"):
        text = (ours / name).read_text()
        assert f"{address}/slide_0.png" in text
        assert text.replace(f"{address}/", f"{drawn.folder.as_posix()}/") == (tmp_path / "found" / name).read_text()
    texts = [sorted(path.read_bytes() for path in (root / "labels").iterdir()) for root in (ours, tmp_path / "found")]
    assert texts[0] == texts[1]


def test_a_glob_of_slides_in_the_lake(spore_yolo: Run, s3: Bucket, slides: str, spot_pair: Path) -> None:
    source = f"{slides}/sl*s/slide_[12].png"
    code, _, err = spore_yolo("predict", "--run", spot_pair.parent, "--source", source, "--output", "found")
    assert code == 0, err
    counted = pd.read_csv("found/counts.csv")["slide"]
    assert list(counted) == [f"{slides}/slides/slide_1.png", f"{slides}/slides/slide_2.png"]
    pulled = [line for line in s3.asked() if line.startswith("GET /lake/slides/")]
    assert len(pulled) == 2
    code, _, err = spore_yolo("predict", "--run", spot_pair.parent, "--source", f"{slides}/no*.png", "--output", "none")
    assert code == 2 and f"--source: {slides}/no*.png: no such file" in err


def test_a_run_that_was_stopped_goes_on_on_another_machine(
    spore_yolo: Run, s3: Bucket, slides: str, spot_pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put("lake/slides/slide_3.png", b"no picture")
    Lake().push(spot_pair.parent, RemotePath.parse(f"{slides}/runs/spots"))
    command: list[Any] = ["predict", "--run", f"{slides}/runs/spots", "--source", f"{slides}/slides"]
    command += ["--output", f"{slides}/found"]
    code, _, err = spore_yolo(*command)
    assert code == 1 and f"see {slides}/found/failed.csv" in err
    assert len([key for key in s3.etags() if key.startswith("lake/found.unfinished/parts/") and ".npz" in key]) == 9

    another_machine(monkeypatch, tmp_path)
    s3.put("lake/slides/slide_3.png", s3.get("lake/slides/slide_2.png"))
    code, _, err = spore_yolo(*command, "--resume")
    assert code == 0, err
    assert len(pd.read_csv(mirror_of(RemotePath(s3.name, "lake/found/counts.csv")))) == 10
    assert "lake/found/failed.csv" not in s3.etags()
    assert not [key for key in s3.etags() if ".unfinished" in key]


def test_what_is_made_is_kept_here_when_it_cannot_be_written_back(
    spore_yolo: Run, s3: Bucket, slides: str, spot_pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any, **options: Any) -> LakeVersion:
        raise SporeYoloError("the bucket is full")

    command = ["predict", "--run", spot_pair.parent, "--source", f"{slides}/slides", "--output", f"{slides}/found"]
    s3.put("lake/found.unfinished/parts/old.npz", b"of a run that was stopped")
    with monkeypatch.context() as patched:
        patched.setattr(Lake, "push", fails)
        code, _, err = spore_yolo(*command)
    assert code == 1
    assert "the bucket is full\nwhat was made lies on this machine and is kept" in err
    advice = f"spore-yolo lake push --delete {slides}/found {slides}/found.unfinished"
    assert err.endswith(f"{advice}\n")
    code, _, err = spore_yolo(*advice.split()[1:])
    assert code == 0, err
    assert s3.get("lake/found/counts.csv")
    assert not s3.etags("lake/found.unfinished")
    code, _, err = spore_yolo(*command)
    assert code == 2 and f"{slides}/found holds predictions already" in err


def test_a_mirror_may_be_deleted_before_any_command(s3: Bucket, slides: str, spot_pair: Path) -> None:
    run = RemotePath.parse(f"{slides}/runs/spots")
    (spot_pair.parent / "run.json").write_text("{}")
    Lake().push(spot_pair.parent, run)
    Lake().pull(run)
    shutil.rmtree(mirror_root())
    with written_to(str(run)) as folder:
        assert not (folder / "run.json").exists()  # only the pair is read
        (folder / "pair" / "new.txt").write_text("new")
        (folder / "pair" / "detector.pt").unlink()
    assert s3.get("lake/runs/spots/run.json") == b"{}" and s3.get("lake/runs/spots/pair/new.txt") == b"new"
    assert "lake/runs/spots/pair/detector.pt" not in s3.etags()


def test_a_command_replaces_nothing_that_others_changed_while_it_ran(
    s3: Bucket, slides: str, spot_pair: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RemotePath.parse(f"{slides}/runs/spots")
    Lake().push(spot_pair.parent, run)
    with written_to(str(run)) as folder:
        (spot_pair / "pair.yaml").write_bytes(b"of others")
        Lake().push(spot_pair.parent, run)
        (folder / "new.txt").write_text("new")
    assert s3.get("lake/runs/spots/pair/pair.yaml") == b"of others" and s3.get("lake/runs/spots/new.txt") == b"new"
    assert "pair/pair.yaml changed or went in the bucket" in capsys.readouterr().err
    with pytest.raises(SporeYoloError) as told, written_to(str(run)) as folder:
        (folder / "new.txt").write_text("here")
        s3.put("lake/runs/spots/new.txt", b"there")
    assert "new.txt changed both here and in the bucket" in str(told.value)
    assert f"bring it to the bucket with: spore-yolo lake push --delete {run}" in str(told.value)
    assert s3.get("lake/runs/spots/new.txt") == b"there"


@contextmanager
def written_to(run: str) -> Iterator[Path]:
    """What a command has in its hands that adds to a run, in place of that command."""
    arguments = build_parser().parse_args(["calibrate", "--run", run, "--dataset", "toy"])
    with mirrored(arguments):
        yield arguments.training_run


@pytest.mark.parametrize("source", ["*.[mv]*s", "a.mrxs", "b.vms"])
def test_the_files_of_a_slide_come_with_it(source: str, s3: Bucket) -> None:
    files = {
        "a.mrxs": b"",
        "a/Slidedat.ini": b"",
        "b.vms": b"[Virtual Microscope Specimen]\nImageFile=b.jpg\nMapFile=../c.jpg\n",
        "b.jpg": b"",
        "c.jpg": b"",
    }
    for name, content in files.items():
        s3.put(f"scans/{name}", content)
    address = f"{s3.address}/scans/{source}"
    arguments = build_parser().parse_args(["predict", "--pair", "pair", "--source", address, "--output", "found"])
    with mirrored(arguments):
        mirror = mirror_of(RemotePath(s3.name, "scans"))
    here = {path.relative_to(mirror).as_posix() for path in mirror.rglob("*") if path.is_file()}
    kinds = [kind for kind in "ab" if source.startswith((kind, "*"))]
    assert here == {name for name in files if name[0] in kinds}


def test_the_pair_in_the_lake_is_evaluated_and_calibrated_in_place(
    spore_yolo: Run, s3: Bucket, slides: str, spot_pair: Path
) -> None:
    assert imported(spore_yolo, slides)[0] == 0
    run = RemotePath.parse(f"{slides}/runs/spots")
    (spot_pair.parent / "heavy.bin").write_bytes(b"heavy")
    Lake().push(spot_pair.parent, run)
    register = ["--dataset", "toy", "--datasets", f"{slides}/datasets.yaml"]
    code, out, err = spore_yolo("evaluate", "--run", str(run), *register)
    assert code == 0, err
    assert f"{run}/evaluation/toy-" in out
    assert [key for key in s3.etags() if key.startswith("lake/runs/spots/evaluation/") and key.endswith("metrics.json")]
    assert not (mirror_of(run) / "heavy.bin").exists() and "lake/runs/spots/heavy.bin" in s3.etags()
    assert Lake().version(run).files["heavy.bin"][0] == 5


@pytest.mark.slow
def test_the_journal_of_a_run_in_the_lake_goes_on_on_another_machine(
    spore_yolo: Run, s3: Bucket, slides: str, spot_pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert imported(spore_yolo, slides)[0] == 0
    run = f"{slides}/runs/spots"
    Lake().push(spot_pair.parent, RemotePath.parse(run))
    register = ["--dataset", "toy", "--datasets", f"{slides}/datasets.yaml", "--tracking", "mlflow"]
    assert spore_yolo("evaluate", "--run", run, *register)[0] == 0
    first = s3.get("lake/runs/spots/tracking/journal.jsonl")
    another_machine(monkeypatch, tmp_path)
    code, _, err = spore_yolo("evaluate", "--run", run, *register)
    assert code == 0, err
    both = s3.get("lake/runs/spots/tracking/journal.jsonl")
    assert both.startswith(first) and len(both) > 1.5 * len(first)


def test_wrong_addresses_are_wrong_usage(spore_yolo: Run, s3: Bucket, spot_pair: Path) -> None:
    for address, message in [("s3://", "expected the name of a bucket"), ("gs://farm/x", "expected a path, or s3://")]:
        code, _, err = spore_yolo("predict", "--run", spot_pair.parent, "--source", address, "--output", "found")
        assert code == 2 and message in err


def test_what_is_not_there_is_told_by_its_address(spore_yolo: Run, s3: Bucket, spot_pair: Path) -> None:
    source = f"{s3.address}/nowhere"
    code, _, err = spore_yolo("predict", "--run", spot_pair.parent, "--source", source, "--output", "found")
    assert code == 1 and err == f"spore-yolo: error: {source}: no such file or folder in the bucket\n"


def test_a_dataset_on_disk_may_have_its_images_in_the_lake(
    spore_yolo: Run, s3: Bucket, slides: str, drawn: Drawn
) -> None:
    options = ["--images", f"{slides}/slides", "--labels", drawn.labels]
    assert spore_yolo("import", "toy", *options)[0] == 0
    shutil.rmtree(mirror_root() / s3.name)
    code, _, err = spore_yolo("describe", "toy", "--output", "page")
    assert code == 0, err
    assert (mirror_root() / s3.name / "lake" / "slides" / "slide_0.png").exists()


@pytest.mark.slow
def test_a_classifier_is_trained_in_the_lake_with_the_dataset_that_its_run_names(
    spore_yolo: Run,
    s3: Bucket,
    slides: str,
    labelled: pd.DataFrame,
    drawn: Drawn,
    trainings: Trainings,
    untrained_checkpoint: Path,
    spot_detector: None,
    shape_classifier: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from spore_yolo.inference.pair import write_pair

    s3.put("lake/labels.csv", drawn.labels.read_bytes())
    assert imported(spore_yolo, slides)[0] == 0
    fingerprint = json.loads(s3.get("lake/data/toy/manifest.json"))["fingerprint"]
    folder = tmp_path / "toy"
    made = {"detector": {"dataset": "toy", "dataset_fingerprint": fingerprint, "seed": 3}}
    write_pair(folder / "pair", spot_manifest(um_per_px=0.5, made=made), untrained_checkpoint)
    options = {"dataset": "toy", "datasets": f"{slides}/datasets.yaml"}
    (folder / "run.json").write_text(json.dumps({"options": options, "dataset_fingerprint": fingerprint}))
    Lake().push(folder, RemotePath.parse(f"{slides}/runs/toy"))

    another_machine(monkeypatch, tmp_path)
    code, out, err = spore_yolo("train-classifier", "--run", f"{slides}/runs/toy")
    assert code == 0, err
    assert trainings.settings and str(mirror_root()) not in out + err
    assert f"--run {slides}/runs/toy" in out  # what to do next
    assert "lake/runs/toy/pair/classifier.pt" in s3.etags()
