"""Channels, regions and the reference: which samples a biomarker looks at, against what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["MontageConfig"]

Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)]


class MontageConfig(BaseModel):
    """`channels` empty: every EEG channel of the stream. A list of names as reference: linked electrodes."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    reference: Literal["average", "none", "laplacian"] | Names = "average"
    channels: Names = ()
