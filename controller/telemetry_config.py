"""What session.toml may say of recording, outlets and telemetry; telemetry is off unless it is asked for."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

# A level of an MQTT topic: no "/", "+", "#" or "$", which would change who receives it.
Level = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$")]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RecordingConfig(_Table):
    """`raw`: keep every EEG block, so that the session can be replayed."""

    raw: bool = True


class OutletsConfig(_Table):
    """LSL outlets, so that the lab's own recorder sees what was done. `name` begins both streams' names."""

    readings: bool = False
    markers: bool = False
    name: Level = "nociloop"


class TelemetryConfig(_Table):
    """An MQTT broker that may watch, and ask for STOP. The loop never depends on it."""

    enabled: bool = False
    host: Annotated[str, StringConstraints(min_length=1, max_length=253)] = "127.0.0.1"
    port: int = Field(default=1883, ge=1, le=65535)
    tls: bool = False
    ca_file: str = ""
    username: str = ""
    password_file: str = ""
    site: Level = "lab"
    rig: Level = "rig1"
    keepalive_s: int = Field(default=10, ge=2, le=600)

    @model_validator(mode="after")
    def _credentials_stay_secret(self) -> Self:
        if self.password_file and not self.username:
            raise ValueError("password_file is given without a username; expected both or neither")
        if self.ca_file and not self.tls:
            raise ValueError("ca_file is given but tls is false; set tls = true")
        if self.password_file and not self.tls and not is_loopback(self.host):
            raise ValueError(
                f"the password would cross the network to {self.host} in clear text; set tls = true"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether what is sent to this host stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
