"""What the examples of currents through the scalp share: the bounds that hold for all of them."""

from __future__ import annotations

ABSOLUTE: dict[str, tuple[float, float]] = {
    "ramp_up_ms": (10, 30_000),
    "ramp_down_ms": (10, 500),
    "duration_ms": (10, 500),
    "impedance_kohm": (0.0, 20.0),
    "density_ma_cm2": (0.0, 0.63),
}
MOST = {
    ("session", "on_time_s"): 2400.0,
    ("session", "charge_c"): 7.2,
    ("24h", "on_time_s"): 3600.0,
    ("7d", "on_time_s"): 25_200.0,
    ("course", "on_time_s"): 108_000.0,
    ("24h", "n_sessions"): 4.0,
}
LEAST_GAPS = {"gap_s": 1500.0, "washout_s": 86_400.0}
