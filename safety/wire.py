"""The messages; size-capped frames: strict decoding of what controllers and persons send. Pure."""

from __future__ import annotations

from typing import assert_never

import msgspec

from safety.events import Asked, BadFrame, Beat, EndAsked, Event, FireAsked, Joined, PauseAsked
from safety.messages import End, FireRequest, Heartbeat, Hello, Pause, Request, ToActs, ToInterlock

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


def event_of(body: bytes, known: bool) -> Event:
    """A frame of the controller as an event; what cannot be read, or comes before the hello, is a bad frame."""
    message = message_of(body)
    match message:
        case Hello():
            return Joined(hello=message)
        case str():
            return BadFrame(source="controller", text=message)
        case _ if not known:
            return BadFrame(source="controller", text=f"{type(message).__name__} before hello")
        case Heartbeat():
            return Beat(heartbeat=message)
        case Request():
            return Asked(request=message)
        case FireRequest():
            return FireAsked(request=message)
        case Pause():
            return PauseAsked(pause=message)
        case End():
            return EndAsked(end=message)
        case _:
            assert_never(message)
