from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from spore_yolo.dataset.checks import CHECKS
from spore_yolo.dataset.checks.base import Material
from spore_yolo.dataset.checks.passing_on import BETTER_CODES, passed_on
from spore_yolo.labels import codes
from spore_yolo.labels.table import check_boxes

Build = Callable[..., Material]


def test_every_code_of_a_problem_has_a_check_that_passes_it_on() -> None:
    known = {value for name, value in vars(codes).items() if name.isupper()}
    assert known == BETTER_CODES | {codes.UNREADABLE_LABEL}
    assert known <= {check.code for check in CHECKS}


def test_a_place_that_speaks_of_several_images_names_none(material: Build) -> None:
    bad = (5, 5, 5, 9)
    one_line = material([("a.png", "rust", *bad), ("b.png", "rust", *bad)])
    boxes = [box._replace(line=1) for box in one_line.labels.boxes]
    checked = check_boxes(boxes, one_line.known.sizes)
    together = replace(one_line, labels=replace(one_line.labels, boxes=boxes), checked=checked)
    find = passed_on(codes.NO_AREA)
    assert [finding.image for finding in find(one_line)] == ["a.png", "b.png"]
    assert [finding.image for finding in find(together)] == [None, None]
