"""CVAT for images 1.1: one XML file for all images of a task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spore_yolo.files.atomic import atomic_file
from spore_yolo.labels.label_set import LabelSet
from spore_yolo.labels.writers.by_image import ImageBoxes, each_image, shown
from spore_yolo.labels.writers.xml_text import check_names, xml_text

# What CVAT needs to know of an attribute: name, kind, the value where nothing is said, the values that there may be.
SCORE_ATTRIBUTE = ("score", "text", "", "")
IGNORED_ATTRIBUTE = ("ignored", "checkbox", "false", "false")


def write_cvat(labels: LabelSet, target: Path, source_root: Path | None = None) -> list[str]:
    """Writes a CVAT file; score and ignored are attributes, declared for every label.

    Raises:
        InputProblems: XML cannot hold a name.
    """
    check_names(labels, target)
    attributes = [SCORE_ATTRIBUTE] if labels.scored else []
    if labels.boxes["ignored"].any():
        attributes.append(IGNORED_ATTRIBUTE)
    with atomic_file(target) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.writelines(_head(labels, attributes))
        for number, image in enumerate(shown(each_image(labels), len(labels.images), "CVAT")):
            stream.write(_text(number, image, bool(attributes) and attributes[-1] == IGNORED_ATTRIBUTE))
        stream.write("</annotations>\n")
    if not attributes:
        return []
    names = " and ".join(name for name, *_ in attributes)
    return [f"CVAT keeps {names} only where the task's labels have attributes of that name, as the file declares them"]


def _head(labels: LabelSet, attributes: list[tuple[str, str, str, str]]) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n <version>1.1</version>\n <meta><task>\n'
    yield f"  <name>spore-yolo</name><size>{len(labels.images)}</size><mode>annotation</mode>\n  <labels>\n"
    declared = "".join(
        f"<attribute><name>{name}</name><mutable>False</mutable><input_type>{kind}</input_type>"
        f"<default_value>{default}</default_value><values>{values}</values></attribute>"
        for name, kind, default, values in attributes
    )
    for name in labels.all_classes:
        yield f"   <label><name>{xml_text(name)}</name><type>rectangle</type>"
        yield f"<attributes>{declared}</attributes></label>\n"
    yield "  </labels>\n </task></meta>\n"


def _text(number: int, image: ImageBoxes, ignoring: bool) -> str:
    size = "" if image.size is None else f' width="{image.size[0]}" height="{image.size[1]}"'
    lines = [f' <image id="{number}" name="{xml_text(image.name)}"{size}>\n']
    names = {name: xml_text(name) for name in set(image.classes)}
    for name, (x_min, y_min, x_max, y_max), ignored, score in zip(
        image.classes, image.corners, image.ignored, image.scores, strict=True
    ):
        source = "manual" if score is None else "auto"
        values = "" if score is None else f'<attribute name="score">{score}</attribute>'
        if ignoring:
            values += f'<attribute name="ignored">{str(ignored).lower()}</attribute>'
        lines.append(
            f'  <box label="{names[name]}" source="{source}" occluded="0" xtl="{x_min}" ytl="{y_min}" xbr="{x_max}"'
            f' ybr="{y_max}" z_order="0">{values}</box>\n'
        )
    return "".join([*lines, " </image>\n"])
