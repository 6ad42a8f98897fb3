"""What is deployed also works: each task's own command line, in an empty folder, with the code from the bucket."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import yaml

from tests.conftest import draw_slides
from tests.pipeline.deploying import DEPLOY, Account, step_functions
from tests.pipeline.running_deployed import Container, StateMachine

pytestmark = pytest.mark.slow


SLIDES, BROKEN = 8, 1


def rows(account: Account, name: str) -> list[dict[str, str]]:
    """A table among the results, whose folder bears the day's date."""
    s3 = account.client("s3")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=account.bucket, Prefix="results/")["Contents"]]
    [key] = [key for key in keys if re.fullmatch(rf"results/\d{{4}}-\d\d-\d\d/{re.escape(name)}", key)]
    content = s3.get_object(Bucket=account.bucket, Key=key)["Body"].read().decode()
    return list(csv.DictReader(content.splitlines()))


def put(account: Account, folder: Path, key: str) -> None:
    """Puts a folder into the bucket, by boto3."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            account.client("s3").upload_file(str(path), account.bucket, f"{key}/{path.relative_to(folder)}")


@pytest.fixture
def configuration(account: Account, tmp_path: Path, spot_pair: Path) -> Path:
    """The example for AWS Batch, in the account's bucket, with slides in it, of which one is broken."""
    slides = draw_slides(tmp_path / "drawn", count=SLIDES).folder
    (slides / f"slide_{BROKEN}.png").write_bytes(b"not an image")
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
    found, failed = rows(account, "counts.csv"), rows(account, "failed.csv")
    names = [row["slide"].rsplit("/", 1)[-1] for row in found]
    assert sorted(names) == [f"slide_{number}.png" for number in range(SLIDES) if number != BROKEN]
    assert [row["slide"].rsplit("/", 1)[-1] for row in failed] == [f"slide_{BROKEN}.png"]
