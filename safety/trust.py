"""The trust store: the officers' public keys, outside both TOML files. Whoever may write it decides whose limits hold.

One officer a file, NAME.pub, of one line that ends in the word which says what the key is good for:

    nociloop-key 1 ed25519 PUBLIC_KEY scrypt SALT any-endpoint
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from drivers.stimulation import Value
from safety.regular_file import read_with_status, sync_directory
from safety.rig_tables import NAME, is_weak
from safety.signature import fingerprint

SITE_STORE = Path("/etc/nociloop/trust")
SUFFIX = ".pub"
KEYS_MAX = 64  # own choice: a site with more officers than this has something else in its store
KEY_BYTES_MAX = 256
ANY, SIMULATED = "any-endpoint", "simulated-only"
_LINE = re.compile(
    rb"nociloop-key 1 ed25519 (?P<key>[0-9a-f]{64}) scrypt (?P<salt>[0-9a-f]{32}) (?P<word>any-endpoint|simulated-only)\n"
)


class TrustError(Exception):
    """A trust store that cannot be used: one line with path, found, expected, and what to do."""


class TrustedKey(Value, frozen=True):
    """An officer's public key, the salt of its pass-phrase, and whether it is good for simulated endpoints only."""

    name: str
    public_key: str
    salt: str
    simulated_only: bool

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.public_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where the keys lie. `simulated_only`: it stands in for the site's store, which it can only do in simulation.
    `named`: somebody chose the place, and answers for the directories above it."""

    path: Path
    simulated_only: bool
    named: bool = False


def store(site: Path = SITE_STORE) -> Store:
    """NOCILOOP_TRUST_DIR, else the site's where there is one, else the user's. Where the site has a store, keys from
    elsewhere are good for simulated endpoints only; raises TrustError."""
    own = os.environ.get("NOCILOOP_TRUST_DIR")
    has_site = os.path.lexists(site)
    if own:
        return Store(path=Path(own).absolute(), simulated_only=has_site, named=True)
    if has_site:
        return Store(path=site, simulated_only=False)
    try:
        config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    except RuntimeError:
        raise TrustError(
            "trust store: found no home directory, expected a user who has one; set NOCILOOP_TRUST_DIR"
        ) from None
    return Store(path=Path(config).absolute() / "nociloop" / "trust", simulated_only=False)


def keys_of(where: Store) -> tuple[TrustedKey, ...]:
    """Every key of the store, by name; one that is not as it must be spoils them all. Raises TrustError."""
    _check_directory(where.path, alone=where.named)
    try:
        names = sorted(each for each in os.listdir(where.path) if each.endswith(SUFFIX))
    except OSError as error:
        raise TrustError(
            f"{where.path}: found {error.strerror}, expected a store that the interlock may read; chmod 755 it"
        ) from error
    if len(names) > KEYS_MAX:
        raise TrustError(
            f"{where.path}: found {len(names)} keys, expected at most {KEYS_MAX}; remove those of nobody"
        )
    keys: list[TrustedKey] = []
    for name in names:
        key = _read(where.path / name, simulated_only=where.simulated_only)
        for other in keys:
            if other.public_key == key.public_key:
                raise TrustError(
                    f"{where.path / name}: found the key of {other.name}{SUFFIX}, expected one of its own; remove either"
                )
        keys.append(key)
    return tuple(keys)


def written(key: TrustedKey) -> bytes:
    """The one way in which a key is written."""
    word = SIMULATED if key.simulated_only else ANY
    return f"nociloop-key 1 ed25519 {key.public_key} scrypt {key.salt} {word}\n".encode("ascii")


def unused(where: Store, name: str) -> None:
    """Say so before anybody types a pass-phrase, where a key of that name is there already; raises TrustError."""
    path = where.path / f"{name}{SUFFIX}"
    if os.path.lexists(path):
        raise TrustError(_taken(path))


def _taken(path: Path) -> str:
    return f"{path}: found a key of that name, expected none; remove it first if it is to be replaced"


def add(where: Store, key: TrustedKey) -> Path:
    """Write a key into the store, which is made where there is none; never over another one. Raises TrustError."""
    path = where.path / f"{key.name}{SUFFIX}"
    try:
        _make_directory(where.path)
        if any(other.public_key == key.public_key for other in keys_of(where)):
            raise TrustError(f"{path}: found this key there under another name, expected a new one")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(written(key))
            file.flush()
            os.fchmod(fd, 0o644)  # public: the interlock may run under another account
            os.fsync(fd)
        sync_directory(where.path)
    except FileExistsError:
        raise TrustError(_taken(path)) from None
    except OSError as error:
        raise TrustError(
            f"{path}: cannot be written ({error.strerror}); expected a store of yours; let its owner put the key there"
        ) from error
    return path


def _make_directory(path: Path) -> None:
    """Make the store where there is none; what is made above it nobody else may write, whatever the umask."""
    for folder in reversed((path, *path.parents)):
        if not os.path.lexists(folder):
            folder.mkdir(mode=0o700 if folder == path else 0o755)


def _read(path: Path, *, simulated_only: bool) -> TrustedKey:
    try:
        content, status = read_with_status(path, KEY_BYTES_MAX, follow=False)
    except OSError as error:
        raise TrustError(
            f"{path}: found {error.strerror}, expected a regular file, no link; put the key itself there"
        ) from error
    if not _is_ours(status):
        raise TrustError(f"{path}: {_WRITABLE}; chmod go-w it, and chown it")
    found = _LINE.fullmatch(content)
    name = path.name.removesuffix(SUFFIX)
    if found is None or not NAME.fullmatch(name):
        raise TrustError(
            f"{path}: found something else, expected a key as `nociloop limits keygen` writes it; write it anew"
        )
    public_key = found["key"].decode("ascii")
    if is_weak(public_key):
        raise TrustError(f"{path}: found a key that anybody can sign for, expected a sound one; remove it")
    return TrustedKey(
        name=name,
        public_key=public_key,
        salt=found["salt"].decode("ascii"),
        simulated_only=simulated_only or found["word"] == SIMULATED.encode("ascii"),
    )


_WRITABLE = "found it writable by others or owned by another user, expected root's or yours alone"


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022


def _check_directory(path: Path, *, alone: bool) -> None:
    """A real directory of ours or of root's; and, unless it is looked at `alone`, one in whose place nobody else may
    put another. Raises TrustError."""
    try:
        real = path.parent.resolve(strict=True) / path.name
        found = real.lstat()
        parents = [] if alone else [(each, each.stat()) for each in real.parents]
    except OSError as error:
        raise TrustError(
            f"{path}: found {error.strerror}, expected the trust store; `nociloop limits keygen NAME --role officer "
            "--trust` makes one"
        ) from error
    if not stat.S_ISDIR(found.st_mode):
        raise TrustError(f"{path}: found no directory, expected the trust store itself, not a link to it")
    if not _is_ours(found):
        raise TrustError(f"{path}: {_WRITABLE}; chmod go-w it, and chown it")
    for parent, status in parents:
        if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
            raise TrustError(
                f"{parent}: found it writable by others, expected that nobody can put another store in the place of "
                f"{path}; chmod go-w it"
            )
