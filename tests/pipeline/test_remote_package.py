"""The code that other machines get: all of ours, nothing of the user's, and no secret."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.pipeline.deploying import DEPLOY, ROOT, SECRET, Account, flow


@pytest.fixture(scope="module")
def package(account: Account, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Content of each file of the package that was put into the bucket."""
    folder = tmp_path_factory.mktemp("package")
    for name in ("data", "runs"):
        (folder / name).mkdir()
        (folder / name / "private.py").write_text(f"# {SECRET}")
    path = DEPLOY / "pipeline-kubernetes.yaml"
    # A datastore of its own: the bucket then holds this package and no other.
    own = {"METAFLOW_DATASTORE_SYSROOT_S3": f"s3://{account.bucket}/package"}
    done = flow(account, folder, "pipeline.py", path, "argo-workflows", "create", "--only-json", **own)
    assert done.returncode == 0, done.stderr
    [container] = [
        one["container"] for one in json.loads(done.stdout)["spec"]["templates"] if one["name"] == "train-detector"
    ]
    [url] = [one["value"] for one in container["env"] if one["name"] == "METAFLOW_CODE_URL"]
    key = url.removeprefix(f"s3://{account.bucket}/")
    content = account.client("s3").get_object(Bucket=account.bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers() if member.isfile()}
        return {name: stream.read() for name, stream in files.items() if stream is not None}


def test_the_whole_package_travels_with_its_data_files(package: dict[str, bytes]) -> None:
    ours = {
        str(path.relative_to(ROOT)): path.read_bytes()
        for path in (ROOT / "spore_yolo").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    sent = {name.removeprefix(".mf_code/"): content for name, content in package.items()}
    assert {Path(name).suffix for name in ours} >= {".py", ".j2", ".css", ".pt"}
    assert {name for name, content in ours.items() if sent.get(name) != content} == set()


def test_nothing_else_of_the_user_travels(package: dict[str, bytes]) -> None:
    others = {
        name
        for name in package
        if not name.startswith((".mf_code/spore_yolo/", ".mf_code/metaflow", ".mf_meta/")) and name != ".mf_install"
    }
    scripts = {path.name for path in (ROOT / "scripts").glob("*.py")}
    assert others - scripts == set()


def test_no_secret_of_the_machine_that_deploys_travels(package: dict[str, bytes]) -> None:
    assert [name for name, content in package.items() if SECRET.encode() in content] == []


def test_the_configuration_travels_as_it_was_checked(package: dict[str, bytes]) -> None:
    content = json.loads(package[".mf_meta/CONFIG"])
    configuration = content["user_configs"]["config"][0]
    assert configuration["runs"] == "s3://spore-lake/runs"
    assert configuration["machines"]["evaluate"] == {"cpu": 4, "memory_gb": 8.0, "catch": True}
