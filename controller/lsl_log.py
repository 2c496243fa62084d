"""Where liblsl reads its configuration, and how it is kept from writing its own log over ours."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from safety.rig import RigError, writable_directory

VARIABLE = "LSLAPICFG"
PLACES = ("lsl_api.cfg", "~/lsl_api/lsl_api.cfg", "/etc/lsl_api/lsl_api.cfg")
QUIET = "[log]\nlevel = -2\n"  # errors that matter reach us as exceptions


def config_file() -> str:
    """The configuration that the user has given liblsl, as its documentation says where; empty when there is none."""
    named = os.environ.get(VARIABLE)
    places = [named] if named else PLACES
    return next((place for place in places if Path(place).expanduser().is_file()), "")


def quiet() -> None:
    """Call before pylsl is imported: the defaults, less the log. A configuration of the user's own is left alone."""
    if os.environ.get(VARIABLE) or config_file():
        return
    try:
        directory = writable_directory()
        fd, name = tempfile.mkstemp(dir=directory, prefix="lsl_api-")
        with os.fdopen(fd, "w", encoding="ascii") as file:
            file.write(QUIET)
        path = directory / "lsl_api.cfg"
        Path(name).replace(path)
    except (OSError, RigError):
        return  # a few lines of log are no reason to refuse
    os.environ[VARIABLE] = str(path)
