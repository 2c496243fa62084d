"""Commands and answers with an open device: one under way, and STOP past everything that waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from drivers import open_device_codec as codec
from drivers.open_device_codec import Line, LineError
from drivers.stimulator import (
    DeviceLost,
    DeviceRefused,
    DeviceSilent,
    LateOnset,
    ReadBackMismatch,
    StimulatorError,
    Stop,
    Superseded,
    WrongState,
)
from drivers.transport import Endpoint, Wire, connect

# STOP is sent this often within one deadline: the same line, which a device that heard it answers and ignores.
STOP_TRIES = 3

_REFUSALS: Mapping[str, str] = {
    "syntax": "it does not understand it (syntax)",
    "state": "it is not armed, or nothing is prepared (state)",
    "range": "a value is outside its range or off its step (range)",
    "token": "the token is not the prepared one, or was fired before (token)",
    "busy": "a train runs (busy)",
    "enable": "its enable input is open; close the relay (enable)",
    "fault": "it reports a fault; look at the device (fault)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An OK, with the times between which the device must have given it."""

    line: Line
    sent_ns: int
    received_ns: int


@dataclass(slots=True, kw_only=True)
class _Asked:
    """The one command under way. Its outcome is a value, so that nobody need fetch an exception."""

    word: str
    seq: int
    outcome: asyncio.Future[Line | StimulatorError]
    received_ns: int = 0


@dataclass(slots=True, kw_only=True)
class _Stopping:
    """The STOP under way, which every caller of `stop` shares."""

    how: Stop
    seq: int
    line: bytes
    outcome: asyncio.Future[StimulatorError | None]
    tries_left: int
    again: asyncio.TimerHandle


class Dialogue:
    """One wire to one device, from connecting to closing. Sends nothing of its own accord but the rest of a STOP.

    `epoch` counts the stops asked for: a command is sent, and its answer believed, only in the epoch in which
    its caller began.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        answer_s: float,
        now_ns: Callable[[], int],
        on_event: Callable[[Line], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self.endpoint = endpoint
        self.epoch = 0
        self.lost = ""
        self.bad = 0
        self.stale = 0
        self._answer_s = answer_s
        self._now_ns = now_ns
        self._on_event = on_event
        self._on_lost = on_lost
        self._wire: Wire | None = None
        self._lines = codec.LineBuffer()
        # An answer to an earlier life of this driver may still lie in the line: start somewhere else.
        self._seq = now_ns() // 1000 % codec.SEQ_MAX
        self._asked: _Asked | None = None
        self._stopping: _Stopping | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a wire, be it broken or not."""
        return self._wire is not None

    async def connect(self, within_s: float) -> None:
        """Open the wire; DeviceNotFound where there is none within the deadline."""
        wire = await connect(self.endpoint, on_data=self._received, on_lost=self._broke, within_s=within_s)
        self._lines, self.lost, self._wire = codec.LineBuffer(), "", wire

    async def ask(self, word: str, fields: Mapping[str, str | int], epoch: int) -> Answer:
        """Send one command and wait for its OK. Not a coroutine that may be entered twice: WrongState."""
        self.check_free()
        if epoch != self.epoch:
            raise Superseded(self.say(f"was stopped before {word}, which was not sent"))
        wire = self._wire
        if wire is None:
            raise WrongState(self.say("is not open"))
        loop = asyncio.get_running_loop()
        seq, line = self._line(word, fields)
        asked = self._asked = _Asked(word=word, seq=seq, outcome=loop.create_future())
        deadline = loop.call_later(self._answer_s, self._unanswered, asked)
        sent_ns = self._now_ns()
        try:
            self._write(wire, line)
            answer = await asked.outcome
        finally:
            deadline.cancel()
            if self._asked is asked:
                self._asked = None
        if isinstance(answer, StimulatorError):
            raise answer
        if epoch != self.epoch:
            raise Superseded(self.say(f"was stopped while {word} waited"))
        if answer.word == "OK":
            return Answer(line=answer, sent_ns=sent_ns, received_ns=asked.received_ns)
        raise self._refusal(word, answer)

    async def stop(self, how: Stop) -> None:
        """Send STOP at once, and return when the device has taken it; shared by all who ask meanwhile."""
        if self._wire is None:
            return
        if self.lost:
            raise DeviceLost(self.say(f"cannot be told to stop: {self.lost}"))
        stopping = self._stopping
        if stopping is None:
            stopping = self._send_stop(how)
        elif stopping.how == "ramp" and how == "cut":
            self._send_stop_harder(stopping)
        # Shielded: whoever is cancelled here must not take the outcome from the others.
        error = await asyncio.shield(stopping.outcome)
        if error is not None:
            raise error

    def supersede(self) -> None:
        """Begin a new epoch: what waits for an answer fails now, and what has not been sent never will be."""
        self.epoch += 1
        if self._asked is not None:
            self._settle(Superseded(self.say(f"was stopped while {self._asked.word} waited")))

    def check_free(self) -> None:
        """Refuse a command while another is under way, or after the link broke."""
        if self.lost:
            raise DeviceLost(self.say(self.lost))
        if self._asked is not None or self._stopping is not None:
            under_way = "STOP" if self._asked is None else self._asked.word
            raise WrongState(self.say(f"{under_way} is under way; one command at a time"))

    async def close(self) -> None:
        """Release the wire; whoever still waits is told. A STOP under way is let through first."""
        try:
            if self._stopping is not None:
                await asyncio.wait({self._stopping.outcome})  # it has a deadline of its own
        finally:
            wire, self._wire = self._wire, None
            error = DeviceLost(self.say("was closed"))
            self._settle(error)
            self._stop_ended(error)
            if wire is not None:
                await wire.close()
            self.lost = ""

    def say(self, what: str) -> str:
        """A text with the device's name in front."""
        return f"open_device {self.endpoint}: {what}"

    def _refusal(self, word: str, answer: Line) -> StimulatorError:
        code = answer.fields.get("code", "")
        if answer.word != "ERR" or not code:
            return ReadBackMismatch(self.say(f"answered {word} with {answer.word}, expected OK or ERR"))
        if code == "late":
            return LateOnset(self.say(f"was told {word} too late, and put out nothing"))
        return DeviceRefused(self.say(f"refused {word}: {_REFUSALS.get(code, code)}"))

    def _line(self, word: str, fields: Mapping[str, str | int]) -> tuple[int, bytes]:
        seq = self._seq = (self._seq + 1) % (codec.SEQ_MAX + 1)
        try:
            return seq, codec.encode(mark=">", seq=seq, word=word, fields=fields)
        except LineError as error:
            raise DeviceRefused(self.say(f"cannot be sent {word}: {error}")) from None

    def _write(self, wire: Wire | None, line: bytes) -> None:
        """Send, or note the link as broken, which fails all that waits."""
        try:
            if wire is None:
                raise DeviceLost("the link is closed")
            wire.write(line)
        except DeviceLost as error:
            self._broke(str(error))

    def _unanswered(self, asked: _Asked) -> None:
        if asked is self._asked:
            text = f"did not answer {asked.word} within {self._answer_s * 1000:g} ms"
            self._settle(DeviceSilent(self.say(text)))

    def _settle(self, outcome: Line | StimulatorError) -> None:
        if self._asked is not None and not self._asked.outcome.done():
            self._asked.outcome.set_result(outcome)

    def _send_stop(self, how: Stop) -> _Stopping:
        loop = asyncio.get_running_loop()
        seq, line = self._line("STOP", {"how": how})
        self._stopping = stopping = _Stopping(
            how=how,
            seq=seq,
            line=line,
            outcome=loop.create_future(),
            tries_left=STOP_TRIES - 1,
            again=loop.call_later(self._answer_s / STOP_TRIES, self._stop_again),
        )
        self._write(self._wire, line)
        return stopping

    def _send_stop_harder(self, stopping: _Stopping) -> None:
        """A cut overtakes a ramp that is not yet confirmed; from now on only the cut's answer counts."""
        stopping.how = "cut"
        stopping.seq, stopping.line = self._line("STOP", {"how": "cut"})
        stopping.tries_left = STOP_TRIES - 1
        self._write(self._wire, stopping.line)

    def _stop_again(self) -> None:
        stopping = self._stopping
        if stopping is None:
            return
        if stopping.tries_left == 0:
            text = f"did not confirm STOP within {self._answer_s * 1000:g} ms; the output is unknown"
            self._stop_ended(DeviceSilent(self.say(text)))
            return
        stopping.tries_left -= 1
        loop = asyncio.get_running_loop()
        stopping.again = loop.call_later(self._answer_s / STOP_TRIES, self._stop_again)
        # The newline ends whatever rest of a line may have swallowed the STOP before.
        self._write(self._wire, b"\n" + stopping.line)

    def _stop_ended(self, error: StimulatorError | None) -> None:
        stopping, self._stopping = self._stopping, None
        if stopping is None:
            return
        stopping.again.cancel()
        if not stopping.outcome.done():
            stopping.outcome.set_result(error)

    def _received(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            if line.mark == "<":
                self._answered(line)
            elif line.mark == "!":
                self._on_event(line)
        self.bad = self._lines.bad

    def _answered(self, line: Line) -> None:
        """Match an answer to its command. One that answers nothing under way is late or double: dropped."""
        asked, stopping = self._asked, self._stopping
        if stopping is not None and line.seq == stopping.seq:
            text = f"answered STOP with {line.word}, expected OK; the output is unknown"
            self._stop_ended(None if line.word == "OK" else ReadBackMismatch(self.say(text)))
        elif asked is not None and line.seq == asked.seq:
            asked.received_ns = self._now_ns()
            self._settle(line)
        else:
            self.stale += 1

    def _broke(self, why: str) -> None:
        """The wire is gone: whoever waits is told, and nothing is sent any more."""
        if self.lost:
            return
        self.lost = why
        error = DeviceLost(self.say(why))
        self._settle(error)
        self._stop_ended(error)
        self._on_lost(why)
