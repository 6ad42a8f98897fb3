"""Checks of labels, images and splits, a module a code."""

from __future__ import annotations

from spore_yolo.dataset.checks import (
    absent_class,
    absurd_size,
    beyond_border,
    damaged_image,
    duplicate,
    exported_variant,
    few_groups,
    imbalance,
    marking,
    near_duplicate,
    near_twin,
    negative_extent,
    no_area,
    not_pixels,
    odd_aspect,
    other_size,
    outside_image,
    similar_names,
    torn_group,
    turned_image,
    twin,
    unknown_class,
    unknown_image,
    unlabelled_image,
    unreadable_image,
    unreadable_label,
)
from spore_yolo.dataset.checks.base import Check

_MODULES = (
    absent_class,
    absurd_size,
    beyond_border,
    damaged_image,
    duplicate,
    exported_variant,
    few_groups,
    imbalance,
    marking,
    near_duplicate,
    near_twin,
    negative_extent,
    no_area,
    not_pixels,
    odd_aspect,
    other_size,
    outside_image,
    similar_names,
    torn_group,
    turned_image,
    twin,
    unknown_class,
    unknown_image,
    unlabelled_image,
    unreadable_image,
    unreadable_label,
)

CHECKS: tuple[Check, ...] = tuple(sorted((module.CHECK for module in _MODULES), key=lambda check: check.code))
"""All checks, by their codes."""
