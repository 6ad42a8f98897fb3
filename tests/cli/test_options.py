from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from spore_yolo.cli.options import add_pair, inner_share


@pytest.mark.parametrize("text", ["0", "1", "1.5", "-0.1"])
def test_inner_share(text: str) -> None:
    assert inner_share("0.95") == 0.95
    with pytest.raises(argparse.ArgumentTypeError):
        inner_share(text)


def test_a_pair_may_be_left_out_where_there_is_another_way(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_pair(parser, required=False)
    assert parser.parse_args([]).pair is None
    assert parser.parse_args(["--pair", "p"]).pair == Path("p")
    parser = argparse.ArgumentParser()
    add_pair(parser)
    with pytest.raises(SystemExit):
        parser.parse_args([])
    assert "one of the arguments --pair --run is required" in capsys.readouterr().err
