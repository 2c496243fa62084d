"""The one door to aiomqtt: connect with a last will, publish, receive. Nothing else here imports it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiomqtt

from controller.telemetry.frames import Setup
from controller.telemetry.outbox import Message

ANSWER_S = 3.0  # own choice: a broker that does not answer for so long is treated as gone
INCOMING_MAX = 256
OUTGOING_MAX = 64


class BrokerError(Exception):
    """The broker is absent, refuses, is frozen or went away; one line."""


class CredentialsError(Exception):
    """The password or CA file cannot be read: nothing that another try would mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """`retained`: kept by the broker from some earlier time, not sent now."""

    payload: bytes
    retained: bool


class Session:
    """One connection."""

    def __init__(self, client: aiomqtt.Client, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    async def publish(self, message: Message, timeout_s: float = ANSWER_S) -> None:
        """QoS 0: until it is in the socket; QoS 1: until the broker has it."""
        topic = f"{self._prefix}/{message.topic}"
        try:
            await self._client.publish(topic, message.payload, message.qos, message.retain, timeout=timeout_s)
        except (aiomqtt.MqttError, ValueError, RuntimeError) as error:
            raise BrokerError(_line(error)) from None

    async def received(self) -> AsyncIterator[Received]:
        """What arrives on the subscribed topics, until the connection ends in a BrokerError."""
        try:
            async for message in self._client.messages:
                payload = message.payload if isinstance(message.payload, bytes) else b""
                yield Received(payload=payload, retained=message.retain)
        except aiomqtt.MqttError as error:
            raise BrokerError(_line(error)) from None


@asynccontextmanager
async def connected(setup: Setup, prefix: str, will: Message, subscribe: str) -> AsyncIterator[Session]:
    """A subscribed connection. On leaving, DISCONNECT is sent and the last will does not speak."""
    client = _client(setup, prefix, will)
    begun = False
    try:
        async with client:
            begun = True
            # paho would let an outage grow its queue; ours in front of it is the bounded one.
            await client.subscribe(f"{prefix}/{subscribe}", qos=1, timeout=ANSWER_S)
            yield Session(client, prefix)
    except (aiomqtt.MqttError, OSError) as error:
        if not begun:
            # aiomqtt leaves the socket of an unanswered CONNECT open: a frozen broker that wakes up would
            # greet each of them, and speak their last wills.
            client._client.disconnect()
        raise BrokerError(_line(error)) from None


def _client(setup: Setup, prefix: str, will: Message) -> aiomqtt.Client:
    password = _password(setup.password_file)
    if setup.ca_file and not Path(setup.ca_file).is_file():
        raise CredentialsError(f"telemetry.ca_file: {setup.ca_file}: no such file")
    return aiomqtt.Client(
        setup.host,
        setup.port,
        username=setup.username or None,
        password=password,
        identifier=f"nociloop-{setup.site}-{setup.rig}-{os.getpid()}",
        will=aiomqtt.Will(f"{prefix}/{will.topic}", will.payload, will.qos, will.retain),
        clean_session=True,  # a STOP asked while we were away is not carried out later: its ack never came
        timeout=ANSWER_S,
        keepalive=setup.keepalive_s,
        max_queued_incoming_messages=INCOMING_MAX,
        max_queued_outgoing_messages=OUTGOING_MAX,
        tls_params=aiomqtt.TLSParameters(ca_certs=setup.ca_file or None) if setup.tls else None,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        logger=_silent(),
    )


def _password(path: str) -> str | None:
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsError(f"telemetry.password_file: {path}: {_line(error)}") from None


def _silent() -> logging.Logger:
    logger = logging.getLogger("nociloop.mqtt")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
