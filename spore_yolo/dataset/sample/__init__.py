"""The built-in sample: microscope fields that the project draws itself, with the truth about everything on them.

:func:`write_sample` writes the sample to disk. :func:`draw_field` draws one field of any taxa in memory; with
:func:`random_scene` or :func:`random_taxa` there are endless tiles to pretrain on, without any taxon of the sample.

Example:
    >>> rng = pretraining_rng(seed=0, number=7)
    >>> taxa, style = random_scene(rng)
    >>> field = draw_field(rng, taxa, width=320, height=320, style=style)
    >>> field.pixels.shape
    (320, 320, 3)
"""

from spore_yolo.dataset.sample.field import Field, Placed, draw_field
from spore_yolo.dataset.sample.plan import FieldPlan, draw_sample_field, plan_sample, pretraining_rng
from spore_yolo.dataset.sample.styles import Style, group_style, random_scene
from spore_yolo.dataset.sample.taxa import (
    NEAREST,
    SAMPLE_TAXA,
    SAMPLE_UM_PER_PX,
    TARGET,
    Taxon,
    distance,
    is_new,
    random_taxa,
)
from spore_yolo.dataset.sample.writing import write_sample

__all__ = [
    "NEAREST",
    "SAMPLE_TAXA",
    "SAMPLE_UM_PER_PX",
    "TARGET",
    "Field",
    "FieldPlan",
    "Placed",
    "Style",
    "Taxon",
    "distance",
    "draw_field",
    "draw_sample_field",
    "group_style",
    "is_new",
    "plan_sample",
    "pretraining_rng",
    "random_scene",
    "random_taxa",
    "write_sample",
]
