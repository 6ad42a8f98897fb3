"""What predict wrote, in a form that can be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd


def results(folder: Path) -> dict[str, Any]:
    """Every file by its path: its bytes, or what the two hold that say when they were written, but for that."""
    found: dict[str, Any] = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    about = json.loads(found["prediction.json"])
    assert about.pop("date") and "commit" in about
    del about["commit"]  # somebody may commit while the tests run
    found["prediction.json"] = about
    book = pd.read_excel(folder / "counts.xlsx", sheet_name=None, header=None)
    found["counts.xlsx"] = {
        name: [row for row in sheet.astype(str).to_numpy().tolist() if row[0] not in ("date", "commit")]
        for name, sheet in book.items()
    }
    return found
