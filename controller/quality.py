"""Contact, flat, railing, line noise, artefact, stimulation blanking -> Quality."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["QualityConfig"]


class QualityConfig(BaseModel):
    """What counts as clean; every default says where it comes from."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    # ±4.5 V / 24, the full scale of an ADS1299 at its usual gain (Texas Instruments data sheet SBAS499).
    rail_uv: Annotated[float, Field(gt=0)] = 187_500.0
    line_hz: Annotated[float, Field(ge=40, le=70)] | None = 50.0
    # Below this share of clean channel-seconds nothing may be measured (own choice, as biomarkers' < 60 %).
    clean_fraction_min: Annotated[float, Field(ge=0, le=1)] = 0.6
