"""What every part of a configuration is built on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Form(BaseModel):
    """A part of a configuration; unknown keys are errors, and defaults are checked as what a file says is."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
