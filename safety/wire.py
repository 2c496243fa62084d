"""The messages; size-capped frames: strict decoding of what controllers and persons send. Pure."""

from __future__ import annotations

import msgspec

from safety.messages import ToActs, ToInterlock

TEXT_MAX = 200

_controller: msgspec.json.Decoder[ToInterlock] = msgspec.json.Decoder(ToInterlock)
_acts: msgspec.json.Decoder[ToActs] = msgspec.json.Decoder(ToActs)


def message_of(body: bytes) -> ToInterlock | str:
    """A controller's message, or in one line why it is none."""
    try:
        return _controller.decode(body)
    except (ValueError, TypeError, RecursionError) as error:
        return str(error)[:TEXT_MAX]


def act_of(body: bytes) -> ToActs | str:
    """A person's message, or in one line why it is none."""
    try:
        return _acts.decode(body)
    except (ValueError, TypeError, RecursionError) as error:
        return str(error)[:TEXT_MAX]
