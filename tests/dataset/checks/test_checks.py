from __future__ import annotations

import re
from pathlib import Path

import pytest

from spore_yolo.dataset import checks
from spore_yolo.dataset.checks import CHECKS
from spore_yolo.dataset.checks.base import Check
from spore_yolo.dataset.fixing import MENDED

SHARED = {"__init__", "base", "class_traits", "passing_on", "placing", "splits"}


def test_codes_are_in_order_and_used_once() -> None:
    codes = [check.code for check in CHECKS]
    assert codes == sorted(set(codes))
    assert all(re.fullmatch(r"SPR0\d\d", code) for code in codes)


def test_every_module_of_a_check_is_listed() -> None:
    modules = {path.stem for path in Path(checks.__path__[0]).glob("*.py")}
    assert len(modules - SHARED) == len(CHECKS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
def test_every_check_says_in_one_sentence_what_it_does_and_how_to_mend_it(check: Check) -> None:
    assert check.title and not check.title.endswith(".")
    assert check.effect.endswith(".") and ". " not in check.effect
    assert check.mend.endswith(".")
    assert check.fixable == (check.code in MENDED)
    assert check.fixable == ("--fix does" in check.mend)
