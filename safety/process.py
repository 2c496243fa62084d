"""The shell: sockets, tick, queues. The only impure loop here.

One deciding thread on `selectors`. It makes no file-system call once it runs: entries go to the ledger's thread. What is
said to whom, and why, is decided by `interlock.step` alone; this file carries it.
"""

from __future__ import annotations

import gc
import selectors
import signal
import socket
from collections import deque
from collections.abc import Callable

import msgspec

from drivers.link import FrameError, OpenDevice, StopDevice
from safety import clocks
from safety.arming import missing, nonce_of
from safety.device import DeviceHost
from safety.entries import Close, entry_of, fold_of
from safety.events import (
    ActPresented,
    BadFrame,
    Durable,
    Event,
    Gone,
    HostGone,
    HostSaid,
    LedgerTrouble,
    Now,
    RelayGone,
    RelaySaid,
    StopPressed,
    Tick,
)
from safety.framed import LinkGone
from safety.interlock import BAD_FRAMES_MAX, step
from safety.latch import Latched, after
from safety.ledger import Ledger, LedgerFull
from safety.messages import Act, AskStatus, Permit, StatusReport
from safety.peers import CONTROLLER_BYTES, PERSON_BYTES, Door, Peer
from safety.persons import Persons
from safety.relay import Relay
from safety.safing import Step
from safety.state import (
    Effect,
    EndProcess,
    Latch,
    MarkArmed,
    OpenRelay,
    PetRelay,
    Rules,
    State,
    ToController,
    ToDevice,
    ToPerson,
    ToStore,
    TrippedAlso,
    Unlatch,
)
from safety.wire import act_of, event_of

_Watched = Door | Peer | DeviceHost | Relay | socket.socket | int
TICK_NS = 10_000_000
HOST_SILENCE_MS = 100


class Doors(msgspec.Struct, frozen=True):
    """The three sockets of a rig, and the group whose members may ask and act, if there is one."""

    controller: Door
    acts: Door
    stop: Door
    group: int | None = None


class Process:
    """The running interlock: owns every descriptor, and the one State there is."""

    def __init__(
        self,
        rules: Rules,
        state: State,
        doors: Doors,
        host: DeviceHost,
        relay: Relay | None,
        ledger: Ledger,
        latched: Latched,
        lock: int,
        parent_fd: int,
    ) -> None:
        self._rules = rules
        self._state = state
        self._doors = doors
        self._host: DeviceHost | None = host
        self._lost_host: DeviceHost | None = None
        self._relay = relay
        self._ledger = ledger
        self._latched = latched
        self._lock = lock  # open until the process ends
        self._parent_fd = parent_fd
        self._controller: Peer | None = None
        self._read_ns = self._written_ns = 0  # the frame that is being answered; the Permit before
        self._persons = Persons()
        self._unreadable = 0
        self._fold: dict[str, int] = {}
        self._entered = state.watch  # the Watch that the last entry left
        self._queued: deque[tuple[State, Event, Step, Now]] = deque(maxlen=1)
        self._undurable: deque[tuple[int, int]] = deque()
        self._due: deque[Event] = deque()
        self._status: int | None = None
        self._selector = selectors.DefaultSelector()
        self._signals = socket.socketpair()

    def run(self, table: dict[str, str | int | float | bool]) -> int:
        """Open the device, serve until the end is decided; the exit status."""
        gc.collect()
        gc.freeze()
        self._to_host(
            OpenDevice(
                call=0, driver=self._rules.limits.device.driver, table=table, silence_ms=HOST_SILENCE_MS
            )
        )
        due_ns = clocks.now().mono_ns + TICK_NS
        while self._status is None:
            now_ns = clocks.now().mono_ns
            ready = self._selector.select(max(0, due_ns - now_ns) / 1e9)
            for key, _ in sorted(ready, key=lambda each: each[0].fileobj is not self._doors.stop):
                key.data()  # STOP before anything else of this turn
            now_ns = clocks.now().mono_ns
            if now_ns >= due_ns:
                self._tick(now_ns)
                due_ns += max(1, (now_ns - due_ns) // TICK_NS + 1) * TICK_NS
        return self._close(self._status)

    def listen(self) -> None:
        """Watch everything, signals among it: from here on a signal is STOP and an orderly end."""
        for receiving in self._signals:
            receiving.setblocking(False)
        signal.set_wakeup_fd(self._signals[1].fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)  # the wake-up descriptor carries it into the loop
        self._watch(self._signals[0], self._signalled)
        self._watch(self._doors.stop, self._stop_pressed)
        self._watch(self._doors.controller, self._controller_came)
        self._watch(self._doors.acts, self._person_came)
        self._watch(self._ledger.news_fd, self._ledger_news)
        if self._parent_fd >= 0:
            self._watch(self._parent_fd, self._parent_gone)
        if self._host is not None:
            self._watch(self._host, self._host_said)
        if self._relay is not None:
            self._watch(self._relay, self._relay_said)

    def _watch(self, source: _Watched, then: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, then)

    def _forget(self, source: _Watched) -> None:
        try:
            self._selector.unregister(source)
        except (KeyError, ValueError):
            pass  # it was never watched, or is closed already

    # What comes in

    def _stop_pressed(self) -> None:
        if self._host is not None:
            self._host.stop_at_once()
        connection = self._doors.stop.accept()
        sequence = self._state.entries
        self._take(StopPressed(source="stop.sock", ends=False))
        if connection is None:
            return
        with connection:
            connection.setblocking(False)
            try:
                connection.send(b'{"seq":%d}\n' % sequence)
            except OSError:
                pass  # whoever pressed STOP need not stay for the answer
        self._doors.stop.keep_spare()

    def _signalled(self) -> None:
        numbers = self._signals[0].recv(64)
        if self._host is not None:
            self._host.stop_at_once()
        for number in numbers:
            self._take(StopPressed(source=f"signal {signal.Signals(number).name}", ends=True))

    def _parent_gone(self) -> None:
        """Nobody writes to that pipe: it becomes readable when the supervisor is gone, however it went."""
        self._forget(self._parent_fd)
        if self._host is not None:
            self._host.stop_at_once()
        self._take(StopPressed(source="supervisor gone", ends=True))

    def _controller_came(self) -> None:
        connection = self._doors.controller.accept()
        if connection is None:
            return
        peer = Peer(connection, CONTROLLER_BYTES)
        if (
            self._controller is not None
            or self._state.hello is not None
            or not peer.trusted(self._doors.group)
        ):
            peer.close()
            self._take(
                BadFrame(
                    source=f"uid {peer.uid}", text="a second controller, or one of another user: refused"
                )
            )
            return
        self._controller = peer
        self._watch(peer, self._controller_said)

    def _controller_said(self) -> None:
        peer = self._controller
        if peer is None:
            return
        try:
            bodies = peer.bodies()
        except LinkGone as error:
            self._controller_lost(str(error))
            return
        except FrameError as error:
            self._take(BadFrame(source="controller", text=str(error)))
            self._controller_lost("a frame of impossible length")
            return
        self._read_ns = clocks.mono_ns()
        for body in bodies:
            event = event_of(body, self._state.hello is not None)
            self._take(event)
            self._unreadable += isinstance(event, BadFrame)
            if self._unreadable >= BAD_FRAMES_MAX:
                self._controller_lost("it sent too much that cannot be read")
                return
        self._read_ns = 0

    def _controller_lost(self, why: str) -> None:
        if self._controller is not None:
            self._forget(self._controller)
            self._controller.close()
            self._controller = None
            self._take(Gone(why=why))

    def _person_came(self) -> None:
        connection = self._doors.acts.accept()
        if connection is None:
            return
        peer = Peer(connection, PERSON_BYTES)
        if not peer.trusted(self._doors.group):
            peer.close()
            return
        for other in self._persons.in_the_way():
            self._person_lost(other)
        name = self._persons.add(peer, clocks.mono_ns())
        self._watch(peer, lambda: self._person_said(name))

    def _person_said(self, name: int) -> None:
        peer = self._persons.get(name)
        if peer is None:
            return
        try:
            for body in peer.bodies():
                message = act_of(body)
                if isinstance(message, Act):
                    self._take(ActPresented(peer=name, uid=peer.uid, act=message))
                elif isinstance(message, AskStatus):
                    peer.send(self._report())
                else:
                    raise FrameError(message)
                self._persons.heard(name, clocks.mono_ns())
        except LinkGone:
            self._person_lost(name)
        except FrameError as error:
            self._person_lost(name)
            self._take(BadFrame(source="person", text=str(error)))

    def _person_lost(self, name: int) -> None:
        peer = self._persons.remove(name)
        if peer is not None:
            self._forget(peer)
            peer.close()

    def _report(self) -> StatusReport:
        state = self._state
        return StatusReport(
            phase=state.phase,
            code=state.trip,
            text=state.trip_text,
            session_id=self._rules.session_id,
            nonce=nonce_of(self._rules, state),
            simulated=self._rules.simulated,
            controller=state.controller,
            missing=missing(self._rules, state, clocks.now()),
        )

    def _host_said(self) -> None:
        if self._host is None:
            return
        try:
            for message in self._host.said():
                self._take(HostSaid(message=message))
        except LinkGone as error:
            self._host_lost(str(error))
        except FrameError as error:
            self._take(BadFrame(source="host", text=str(error)[:200]))
            self._host_lost("it sent what cannot be read")

    def _host_lost(self, why: str) -> None:
        host, self._host = self._host, None
        if host is not None:
            self._forget(host)
            self._take(HostGone(why=why))
            host.kill()
            self._lost_host = host

    def _relay_said(self) -> None:
        replies = self._relay.said() if self._relay is not None else None
        if replies is None:
            self._relay_lost("its line closed")
            return
        # The backlog of a late loop says each thing once; an "open" is never lost in it.
        for closed in dict.fromkeys(replies):
            self._take(RelaySaid(closed=closed))

    def _relay_lost(self, why: str) -> None:
        relay, self._relay = self._relay, None
        if relay is not None:
            self._forget(relay)
            relay.close()
            self._take(RelayGone(why=why))

    def _ledger_news(self) -> None:
        for item in self._ledger.news():
            if isinstance(item, LedgerTrouble):
                self._take(item)
                continue
            while self._undurable and self._undurable[0][0] < item:
                self._undurable.popleft()
            self._take(Durable(seq=item))

    def _flush(self) -> None:
        """What a full socket left over goes out as soon as there is room."""
        try:
            if self._host is not None:
                self._host.flush()
        except LinkGone as error:
            self._host_lost(str(error))
        try:
            if self._controller is not None:
                self._controller.flush()
        except LinkGone as error:
            self._controller_lost(str(error))
        for name, peer in self._persons.all():
            try:
                peer.flush()
            except LinkGone:
                self._person_lost(name)

    def _tick(self, now_ns: int) -> None:
        self._flush()
        for name in self._persons.silent(now_ns):
            self._person_lost(name)
        behind_ns = now_ns - self._undurable[0][1] if self._undurable else 0
        self._take(Tick(behind_ns=behind_ns))

    # What is decided, and what goes out

    def _take(self, event: Event) -> None:
        """The one way in. What is lost while effects are sent is taken after them, never between two of them."""
        self._due.append(event)
        if len(self._due) > 1:
            return  # an earlier one is being taken
        while self._due:
            self._decide(self._due[0])
            self._due.popleft()

    def _decide(self, event: Event) -> None:
        """Decide, send, record. What is sent is queued for the ledger in the same breath."""
        now = clocks.now()
        before = self._state
        decided = step(self._rules, before, event, now)
        self._state = decided.state
        entry = decided.state.entries != before.entries
        if entry:
            self._queued.append((before, event, decided, now))
        else:
            name = type(event).__name__
            self._fold[name] = self._fold.get(name, 0) + 1
        self._carry(decided.effects)
        if entry:
            self._record(now)

    def _record(self, now: Now) -> None:
        """Put into words what was queued before its effects went out, and hand it to the ledger's thread."""
        before, event, decided, entry_now = self._queued.popleft()
        fold = fold_of(self._fold, self._entered, before.watch)
        self._fold, self._entered = {}, decided.state.watch
        latched = after(self._latched, self._rules.session_id, decided.effects, entry_now.wall_ns)
        self._latched = latched or self._latched
        try:
            records = tuple(each.record for each in decided.effects if isinstance(each, ToStore))
            self._ledger.append(entry_of(before, event, decided, entry_now, fold), latched, records)
            self._undurable.append((before.entries, entry_now.mono_ns))
        except LedgerFull as error:
            self._full(str(error), now)

    def _full(self, text: str, now: Now) -> None:
        """A ledger that takes no more: trip without an entry, for there is no place left to write it."""
        decided = step(self._rules, self._state, LedgerTrouble(kind="failed", text=text), now)
        self._state = decided.state
        self._carry(decided.effects)
        latched = after(self._latched, self._rules.session_id, decided.effects, now.wall_ns)
        if latched is not None:
            self._latched = latched
            self._ledger.keep(latched)

    def _carry(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case ToDevice(message=message):
                    self._to_host(message)
                case ToController(message=message):
                    self._to_controller(message)
                case ToPerson(peer=name, result=result):
                    self._to_person(name, result)
                case PetRelay():
                    if self._relay is not None and not self._relay.pet():
                        self._relay_lost("a pet could not be sent")
                case OpenRelay():
                    if self._relay is not None and not self._relay.open():
                        self._relay_lost("it could not be told to open")
                case MarkArmed() | Latch() | TrippedAlso() | Unlatch() | ToStore():
                    pass  # for the ledger, and for what its thread keeps of rig and participant
                case EndProcess(status=status):
                    self._status = status

    def _to_host(self, message: msgspec.Struct) -> None:
        if self._host is None:
            return
        try:
            self._host.send(message)  # type: ignore[arg-type]
        except LinkGone as error:
            if not isinstance(message, StopDevice):
                self._host_lost(str(error))

    def _to_controller(self, message: msgspec.Struct) -> None:
        peer = self._controller
        if peer is None:
            return
        try:
            if not isinstance(message, Permit):
                peer.send(message)
                return
            read_ns = self._read_ns or message.read_ns
            stamped = msgspec.structs.replace(
                message, read_ns=read_ns, sent_ns=clocks.mono_ns(), written_ns=self._written_ns
            )
            peer.send(stamped)
            self._written_ns = clocks.mono_ns() if peer.all_sent else 0
        except LinkGone as error:
            self._controller_lost(str(error))

    def _to_person(self, name: int, result: msgspec.Struct) -> None:
        peer = self._persons.get(name)
        if peer is None:
            return
        try:
            peer.send(result)
        except LinkGone:
            self._person_lost(name)  # the act stands whether or not its person stays for the answer

    def _close(self, status: int) -> int:
        """Everything is at zero: let go of the host, end the ledger, close the doors."""
        for door in (self._doors.stop, self._doors.acts, self._doors.controller):
            self._forget(door)
            door.close()
        if self._relay is not None:
            self._relay.close()
        for host in (self._host, self._lost_host):
            if host is not None:
                host.close(1.0)
        try:
            self._ledger.append(
                Close(prev="", seq=self._state.entries, kind="closed", now=clocks.now(), status=status)
            )
        except LedgerFull:
            pass  # the trip has said so
        self._ledger.close(2.0)
        for peer in (self._controller, *(each for _, each in self._persons.all())):
            if peer is not None:
                peer.close()
        return status
