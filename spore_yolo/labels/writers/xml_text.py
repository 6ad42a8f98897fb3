"""Names as text and attributes of XML files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.labels.label_set import LabelSet

# XML 1.0, production 2: characters that no XML file may hold, in whatever way they are written.
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def xml_text(text: str) -> str:
    """Text between tags or in double quotes; line breaks and tabs survive there only as numbers."""
    return escape(text, {'"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def check_names(labels: LabelSet, target: Path) -> None:
    """Makes sure that XML can hold the names of all images and classes.

    Raises:
        InputProblems: It cannot.
    """
    wrong: list[tuple[str, str]] = [*_wrong("image", labels.images["image"]), *_wrong("class", labels.all_classes)]
    if wrong:
        raise InputProblems(
            f"{target}: XML cannot hold these names; nothing was written:",
            [Problem(what, None, f"{name!a:.80} has a control character; rename it") for what, name in wrong],
        )


def _wrong(what: str, names: Iterable[str]) -> list[tuple[str, str]]:
    return [(what, name) for name in names if FORBIDDEN.search(name)]
