"""The class map: renames, merges, drops or ignores the classes that a label file names.

A YAML file with up to three parts::

    rename: {RBC: red_cell, "Alternaria sp.": Alternaria}   # two names with one new name are merged
    drop: [dust]                                            # the object becomes background
    ignore: [unsure]                                        # neither object nor background
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from spore_yolo.files.errors import InputProblems, Problem
from spore_yolo.files.structured import read_model
from spore_yolo.labels.table import RawBox, RawLabels

# Class ids are written without quotes in YAML and arrive as integers.
Name = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]


class ClassMap(BaseModel):
    """What becomes of each class; classes that are not named stay as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rename: dict[Name, Name] = {}
    drop: list[Name] = []
    ignore: list[Name] = []

    @classmethod
    def read(cls, path: Path) -> ClassMap:
        """Reads a class map from a YAML file."""
        class_map = read_model(path, cls)
        twice = (set(class_map.drop) & set(class_map.ignore)) | (
            set(class_map.rename) & (set(class_map.drop) | set(class_map.ignore))
        )
        if twice:
            problems = [Problem(path, None, f"class {name} is named in more than one part") for name in sorted(twice)]
            raise InputProblems("The class map contradicts itself:", problems)
        return class_map

    def apply(self, labels: RawLabels, path: Path | None = None) -> RawLabels:
        """The labels with their classes mapped.

        Args:
            labels: What a reader found.
            path: The class map's file, for error messages.

        Raises:
            InputProblems: The map names a class that no label has, most likely a typing error.
        """
        known = set(labels.classes) | {box.class_name for box in labels.boxes}
        named = [*self.rename, *self.drop, *self.ignore]
        unknown = [name for name in named if name not in known]
        if unknown:
            raise InputProblems(
                "The class map names classes that no label has:",
                [Problem(path or "class map", None, f"class {name}") for name in unknown],
                f"The labels have: {', '.join(sorted(known)) or 'none'}.",
            )
        gone = {*self.drop, *self.ignore}
        boxes = [self._mapped(box) for box in labels.boxes if box.class_name not in self.drop]
        classes = list(dict.fromkeys(self.rename.get(name, name) for name in labels.classes if name not in gone))
        return replace(labels, boxes=boxes, classes=classes)

    def _mapped(self, box: RawBox) -> RawBox:
        return box._replace(
            class_name=self.rename.get(box.class_name, box.class_name),
            ignored=box.ignored or box.class_name in self.ignore,
        )
