"""STOP over MQTT: a request read leniently, a connection to stop.sock, an answer that says what is known."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from dataclasses import dataclass

REQUEST_BYTES_MAX = 4096
ID_CHARS_MAX = 64
REPLY_BYTES_MAX = 4096
REPLY_S = 1.0
BUSY_RETRY_S = 0.005
_ID = re.compile(rb'"request_id"\s*:\s*"([\w.:@+-]{1,%d})"' % ID_CHARS_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a message on interlock/request asks. `fault` is why it is not a STOP; empty if it is one."""

    request_id: str
    fault: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`confirmed` only with the ledger's own sequence; anything less is told as NOT CONFIRMED."""

    confirmed: bool
    ledger_seq: int | None
    text: str


def read_request(payload: bytes) -> Asked:
    """A STOP needs its verb alone: a missing id or schema does not refuse it."""
    found = _ID.search(payload[:REQUEST_BYTES_MAX])
    request_id = found.group(1).decode("ascii", "replace") if found else ""
    if len(payload) > REQUEST_BYTES_MAX:
        return Asked(
            request_id=request_id, fault=f"{len(payload)} bytes; expected at most {REQUEST_BYTES_MAX}"
        )
    try:
        request = json.loads(payload)
    except (ValueError, RecursionError):
        return Asked(request_id=request_id, fault='not JSON; expected {"request_id": "...", "verb": "stop"}')
    if not isinstance(request, dict):
        return Asked(request_id="", fault='not an object; expected {"request_id": "...", "verb": "stop"}')
    given = request.get("request_id")
    if isinstance(given, str):
        request_id = "".join(char for char in given if char.isprintable())[:ID_CHARS_MAX]
    if request.get("verb") != "stop":
        verb = repr(request.get("verb"))[:40]
        return Asked(request_id=request_id, fault=f"verb {verb}; the only verb here is 'stop'")
    return Asked(request_id=request_id, fault="")


def connect_stop(path: str) -> socket.socket | None:
    """Connecting *is* the STOP; no byte is sent. None: the interlock's queue is full, try again.

    Not through the event loop: asyncio takes a full queue (EAGAIN) of a Unix socket for a connection.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.connect(path)
    except BlockingIOError:
        sock.close()
        return None
    except BaseException:
        sock.close()
        raise
    return sock


def stop_unheard(path: str) -> None:
    """STOP at once, and do not wait for the answer. A full queue holds STOPs already."""
    try:
        sock = connect_stop(path)
    except (OSError, ValueError):
        return  # the STOPs that wait for their answer tell it
    if sock is not None:
        sock.close()


async def stop(path: str) -> Answer:
    """STOP at once, then wait at most 1 s for the ledger's sequence."""
    if not path:
        return Answer(confirmed=False, ledger_seq=None, text="NOT CONFIRMED: this rig has no stop.sock")
    deadline_s = time.monotonic() + REPLY_S
    try:
        while (sock := connect_stop(path)) is None:
            if time.monotonic() > deadline_s:
                text = "NOT CONFIRMED: stop.sock is busy; use the hardware emergency stop"
                return Answer(confirmed=False, ledger_seq=None, text=text)
            await asyncio.sleep(BUSY_RETRY_S)
    except (OSError, ValueError) as error:
        text = f"NOT CONFIRMED: stop.sock cannot be reached: {getattr(error, 'strerror', None) or error}"
        return Answer(confirmed=False, ledger_seq=None, text=text)
    with sock:
        try:
            async with asyncio.timeout(max(0.0, deadline_s - time.monotonic())):
                return _read_reply(await _line(sock))
        except (TimeoutError, OSError) as error:
            why = "no reply within 1 s" if isinstance(error, TimeoutError) else str(error)
            return Answer(
                confirmed=False, ledger_seq=None, text=f"NOT CONFIRMED: STOP went to the interlock; {why}"
            )


async def _line(sock: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while b"\n" not in data and len(data) < REPLY_BYTES_MAX:
        more = await loop.sock_recv(sock, REPLY_BYTES_MAX)
        if not more:
            break
        data += more
    return data.split(b"\n", 1)[0]


def _read_reply(line: bytes) -> Answer:
    try:
        reply = json.loads(line)
    except (ValueError, RecursionError):
        reply = None
    seq = reply.get("seq") if isinstance(reply, dict) else None
    if not isinstance(seq, int) or isinstance(seq, bool):
        text = "NOT CONFIRMED: STOP went to the interlock; its reply has no ledger sequence"
        return Answer(confirmed=False, ledger_seq=None, text=text)
    return Answer(confirmed=True, ledger_seq=seq, text=f"STOP is entry {seq} of the ledger")
