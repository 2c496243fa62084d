"""A real mosquitto on a port of its own, a viewer behind it, and a stop.sock that answers."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion

WAIT_S = 8.0


def mosquitto_path() -> str | None:
    """Debian installs it where only root's PATH looks."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def until(condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.002)


class Broker:
    """mosquitto; anonymous unless `extra` says otherwise."""

    def __init__(self, folder: Path, extra: str = "allow_anonymous true") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._config = folder / f"mosquitto-{self.port}.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\npersistence false\n{extra}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Broker:
        path = mosquitto_path()
        assert path is not None
        self._process = subprocess.Popen(
            [path, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._listens, "mosquitto listens")
        return self

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(WAIT_S)
            self._process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    topic: str
    body: dict[str, object]
    text: str
    at_ns: int
    retained: bool


class Viewer:
    """What a dashboard of the lab sees; a plain paho client with no code of ours."""

    def __init__(self, broker: Broker, username: str = "", password: str = "", ca_file: str = "") -> None:
        self.seen: list[Seen] = []
        self._subscribed = threading.Event()
        self._client = mqtt.Client(callback_api_version=CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.reconnect_delay_set(1, 1)
        if username:
            self._client.username_pw_set(username, password)
        if ca_file:
            self._client.tls_set(ca_certs=ca_file)
        self._client.connect("localhost" if ca_file else "127.0.0.1", broker.port)
        self._client.loop_start()
        assert self._subscribed.wait(WAIT_S)

    def publish(self, topic: str, payload: str | bytes, *, qos: int = 1, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos, retain)

    def ask(self, rig: str, request_id: str, **more: object) -> None:
        request = {"schema": "nociloop/interlock/request/1", "request_id": request_id, "verb": "stop"}
        self.publish(f"lab/{rig}/interlock/request", json.dumps(request | more))

    def of(self, rig: str, topic: str) -> list[Seen]:
        return [seen for seen in list(self.seen) if seen.topic == f"lab/{rig}/{topic}"]

    def wait(self, rig: str, topic: str, timeout_s: float = WAIT_S, **fields: object) -> Seen:
        """The first message on the topic whose body has all of `fields`."""
        found: list[Seen] = []

        def look() -> bool:
            found[:] = [seen for seen in self.of(rig, topic) if fields.items() <= seen.body.items()]
            return bool(found)

        until(look, f"{topic} with {fields}", timeout_s)
        return found[0]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        at_ns = time.monotonic_ns()
        if message.topic.endswith("/interlock/request"):
            return  # our own, some of them made to hurt a parser
        try:
            body = json.loads(message.payload)
        except ValueError:
            return
        if isinstance(body, dict):
            self.seen.append(
                Seen(
                    topic=message.topic,
                    body=body,
                    text=message.payload.decode(),
                    at_ns=at_ns,
                    retained=message.retain,
                )
            )


class StopSock:
    """The interlock's stop.sock: notes each connection's time, then answers `reply` (None: never)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.accepted_ns: list[int] = []
        self.reply: bytes | None = None
        self._kept: list[socket.socket] = []
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(path))
        self._server.listen(8)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(WAIT_S)
        for kept in self._kept:
            kept.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            self.accepted_ns.append(time.monotonic_ns())
            reply = self.reply
            if reply is None:
                reply = json.dumps({"seq": 100 + len(self.accepted_ns)}).encode() + b"\n"
            if reply == b"hang":
                self._kept.append(peer)
                continue
            with peer:
                peer.sendall(reply)


def tls_files(folder: Path) -> Path:
    """A certificate for localhost, its key, and a user `rig` with the password s3cret."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    command = ["mosquitto_passwd", "-b", "-c", str(folder / "users"), "rig", "s3cret"]
    subprocess.run(command, check=True, capture_output=True, timeout=WAIT_S)
    return folder / "cert.pem"
