"""What is deployed also works: each task's own command line, in an empty folder, with the code from the bucket."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml

from tests.conftest import draw_slides
from tests.pipeline.deploying import DEPLOY, Account, step_functions
from tests.pipeline.running_deployed import Container, StateMachine

pytestmark = pytest.mark.slow


def put(account: Account, folder: Path, key: str) -> None:
    """Puts a folder into the bucket, by boto3."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            account.client("s3").upload_file(str(path), account.bucket, f"{key}/{path.relative_to(folder)}")


@pytest.fixture
def configuration(account: Account, tmp_path: Path, spot_pair: Path) -> Path:
    """The example for AWS Batch, in the account's bucket, with three slides in it, of which one is broken."""
    slides = draw_slides(tmp_path / "drawn", count=3).folder
    (slides / "slide_1.png").write_bytes(b"not an image")
    put(account, slides, "incoming")
    put(account, spot_pair, "pairs/current")
    text = (DEPLOY / "predict-batch.yaml").read_text().replace("spore-lake", account.bucket)
    content = yaml.safe_load(text) | {"shards": 2, "device": "cpu", "backend": "torch"}
    path = tmp_path / "predict.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_deployed_state_machine_predicts_every_slide_once(
    account: Account, configuration: Path, tmp_path: Path
) -> None:
    definition = step_functions(account, tmp_path / "deploying", "predict_pipeline.py", configuration, "nightly-run")
    container = Container(account, tmp_path / "containers")
    StateMachine(definition, container).run()
    assert container.done == ["start", "predict_shard", "predict_shard", "join", "end"]
    s3 = account.client("s3")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=account.bucket, Prefix="results/")["Contents"]]
    print(keys)
    assert 0
