"""Codes of what can be wrong with labels, as readers and the boxes table give them to problems.

``dataset/checks/`` has a module for each code, with its severity, what it does to training and how to mend it.
"""

from __future__ import annotations

UNREADABLE_LABEL = "SPR001"
"""A label file, or a line of it, that is not in its format."""

UNKNOWN_IMAGE = "SPR002"
"""Labels for an image that is not there."""

OTHER_SIZE = "SPR008"
"""The label file states another size than the image has."""

NOT_PIXELS = "SPR011"
"""Coordinates that are no numbers, infinite, or larger than any image."""

NEGATIVE = "SPR012"
"""The maximum of a box lies before its minimum."""

NO_AREA = "SPR013"
"""A box whose maximum equals its minimum."""

OUTSIDE = "SPR014"
"""A box that does not touch its image."""

BEYOND_BORDER = "SPR015"
"""A box of which a pixel or more lies beyond the border."""

UNKNOWN_CLASS = "SPR021"
"""A class that the label file's own list does not have."""
