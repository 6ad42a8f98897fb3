"""Checks of labels, images and splits, a module a code."""
