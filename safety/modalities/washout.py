"""The wash-out that every modality asks for after another one's output."""

from __future__ import annotations

from safety.modalities.quantities import DeclaredSpacing

WASHOUT = DeclaredSpacing(
    name="washout_s",
    low=86_400.0,
    source="own choice: a day, far longer than the after-effects of one session",
    edition="1",
    status="unverified",
)
