"""A pass-phrase from where it may come: the terminal, a descriptor, a file of its owner alone; never an argument."""

from __future__ import annotations

import getpass
import os
import warnings
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safety.acts import PassphraseError, derive_key, public_key_hex
from safety.regular_file import read_with_status

BYTES_MAX = 4096


def read_passphrase(
    name: str, file: Path | None = None, fd: int | None = None, *, twice: bool = False
) -> str:
    """The pass-phrase of `name`, `twice` where it is new and typed; raises PassphraseError with one line."""
    if file is not None and fd is not None:
        raise PassphraseError(f"pass-phrase of {name}: found a file and a descriptor, expected one of them")
    if file is not None:
        return _text(name, str(file), _of_file(name, file))
    if fd is not None:
        return _text(name, f"descriptor {fd}", _of_descriptor(name, fd))
    return _typed(name, twice=twice)


def unlock_key(
    name: str, salt: str, public_key: str, file: Path | None = None, fd: int | None = None
) -> Ed25519PrivateKey:
    """The key of `name` from the pass-phrase; raises PassphraseError when it is not theirs."""
    passphrase = read_passphrase(name, file, fd)
    try:
        key = derive_key(passphrase, salt)
    except PassphraseError as error:
        raise PassphraseError(f"pass-phrase of {name}: {error}") from error
    if public_key_hex(key) != public_key:
        raise PassphraseError(f"pass-phrase of {name}: it does not fit the key; type it again")
    return key


def _of_file(name: str, file: Path) -> bytes:
    try:
        content, status = read_with_status(file, BYTES_MAX)
    except OSError as error:
        raise PassphraseError(
            f"pass-phrase of {name}: {file}: {error.strerror}; give --passphrase-file or type it"
        ) from error
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o077:
        raise PassphraseError(
            f"pass-phrase of {name}: {file}: found mode {status.st_mode & 0o7777:04o}, expected a file that its owner "
            "alone can read; chmod 600 it"
        )
    return content


def _of_descriptor(name: str, fd: int) -> bytes:
    """Until its end or a line's: whoever writes may keep it open."""
    content = b""
    try:
        while len(content) <= BYTES_MAX and b"\n" not in content:
            more = os.read(fd, BYTES_MAX)
            if not more:
                break
            content += more
    except (OSError, OverflowError) as error:
        raise PassphraseError(
            f"pass-phrase of {name}: descriptor {fd}: {error}; expected one that is open for reading"
        ) from error
    return content


def _text(name: str, where: str, content: bytes) -> str:
    if len(content) > BYTES_MAX:
        raise PassphraseError(
            f"pass-phrase of {name}: {where}: found more than {BYTES_MAX} bytes; give one line"
        )
    try:
        text = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise PassphraseError(
            f"pass-phrase of {name}: {where}: found bytes that are not UTF-8; type it instead"
        ) from None
    if "\n" in text:
        raise PassphraseError(f"pass-phrase of {name}: {where}: found several lines, expected one")
    return text


def _typed(name: str, *, twice: bool) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # nothing is read that would be seen
            typed = getpass.getpass(f"pass-phrase of {name}: ")
            if twice and getpass.getpass("once more: ") != typed:
                raise PassphraseError(f"pass-phrase of {name}: the two differ; try again")
    except (OSError, EOFError, getpass.GetPassWarning) as error:
        raise PassphraseError(
            f"pass-phrase of {name}: there is no terminal to type it at; give --passphrase-file"
        ) from error
    return typed
