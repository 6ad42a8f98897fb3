"""What cards are put together from: text that means what it says, tables, pictures and curves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from metaflow.cards import Image, Markdown, Table

from spore_yolo.pipeline.ending import said

NOTHING = "\u200b"
"""A blank without width."""

NO_BREAK = "\u2011"
"""A hyphen at which no line ends."""

_ALIKE = str.maketrans({"*": "\u2217", "`": "\u2019", "\\": "\u29f5", "\n": " "})
"""What the cards' Markdown would take for marks, and what looks like it; backslashes and entities do not help there."""


def escaped(text: object) -> str:
    """Text that comes from data, so that Markdown shows it, and does not do what it says."""
    plain = str(text).translate(_ALIKE)
    plain = re.sub(r"([<~\]])", rf"\1{NOTHING}", plain)
    plain = re.sub(r"\b_|_\b", lambda mark: mark[0] if _within_word(mark) else "\uff3f", plain)
    return NOTHING + plain if re.match(r"[#>+-]|\d+[.)]", plain) else plain


def _within_word(mark: re.Match[str]) -> bool:
    before, after = mark.string[: mark.start()][-1:], mark.string[mark.end() :][:1]
    return before.isalnum() and after.isalnum()


def paragraph(text: str) -> Any:
    """Text in Markdown."""
    return Markdown(text)


def listed(title: str, lines: Iterable[object]) -> list[Any]:
    """A heading and a list; nothing where there is nothing to list."""
    points = [f"- {escaped(line)}" for line in lines]
    return [Markdown("\n".join([f"## {title}", "", *points]))] if points else []


def spoken(sentence: Markup) -> str:
    """A sentence of the report in Markdown: what is strong there is strong here."""
    parts = re.split(r"</?strong>", str(sentence))
    texts = [escaped(Markup(part).striptags()) if part.strip() else "" for part in parts]
    # striptags() takes the blanks at both ends, which stand between the parts.
    padded = [
        f"{' ' if part[:1] == ' ' else ''}{text}{' ' if part[-1:] == ' ' else ''}"
        for part, text in zip(parts, texts, strict=True)
    ]
    return "".join(f"**{text}**" if place % 2 else text for place, text in enumerate(padded))


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> Any:
    """A table; cells are shown as they are."""
    return Table([[cell if _is_component(cell) else str(cell) for cell in row] for row in rows], headers=list(headers))


def figure(one: Mapping[str, Any] | None) -> str:
    """A figure with its interval, which is not broken over lines."""
    return said(one).replace("-", NO_BREAK) if one is not None and one.get("interval") else said(one)


def _is_component(cell: object) -> bool:
    return isinstance(cell, Image | Markdown)


def picture(source: str | bytes, label: str | None = None) -> Any:
    """A picture: bytes of a PNG or JPEG, or a ``data:`` address."""
    return Image(source, label=label)


def gallery(pictures: Sequence[tuple[str, str]], across: int = 6) -> Any:
    """Pictures with what stands below them, in rows."""
    cells: list[object] = [Image(uri, label=label) for uri, label in pictures]
    cells += [""] * (-len(cells) % across)
    return Table([cells[start : start + across] for start in range(0, len(cells), across)])


def curves(title: str, columns: Mapping[str, Sequence[float]], named: Mapping[str, str], unit: str) -> list[Any]:
    """Lines over epochs; nothing where there is nothing to draw.

    Args:
        title: What they show.
        columns: The columns of Ultralytics' ``results.csv``.
        named: For each column to draw, what to call it.
        unit: What the numbers are.
    """
    from metaflow.cards import VegaChart

    epochs = columns.get("epoch", [])
    values = [
        {"epoch": int(epoch), "value": value, "curve": name}
        for key, name in named.items()
        for epoch, value, seen in zip(epochs, columns.get(key, []), _validated(columns, key), strict=False)
        if seen
    ]
    if len({value["epoch"] for value in values}) < 2:
        return []
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": 640,
        "height": 220,
        "data": {"values": values},
        "mark": {"type": "line", "point": True, "tooltip": True},
        "encoding": {
            "x": {
                "field": "epoch",
                "type": "ordinal",
                "title": "epoch",
                "axis": {"labelAngle": 0, "labelOverlap": True},
            },
            "y": {
                "field": "value",
                "type": "quantitative",
                "title": unit,
                "scale": {"zero": False},
                "axis": {"format": ".3~g"},
            },
            "color": {"field": "curve", "type": "nominal", "title": None, "legend": {"orient": "right"}},
        },
    }
    return [Markdown(f"## {title}"), VegaChart(spec)]


def _validated(columns: Mapping[str, Sequence[float]], key: str) -> list[bool]:
    """In which epochs a column holds something: Ultralytics writes zeros where it did not validate."""
    if not key.startswith(("val/", "metrics/")):
        return [True] * len(columns.get("epoch", []))
    seen = [column for name, column in columns.items() if name.startswith(("val/", "metrics/"))]
    return [any(values) for values in zip(*seen, strict=False)]
