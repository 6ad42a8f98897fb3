"""Names of files."""

from __future__ import annotations


def is_utf8(name: str) -> bool:
    """Whether a file name can be written; Python keeps bytes that are not UTF-8 as halves of letters."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
