"""`nociloop streams`: LSL streams on the network, with the lines to paste into session.toml."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from controller.streams import StreamRow

NONE_FOUND = """\
found no LSL stream in {wait_s:g} s. What to check:
  - the amplifier's LSL output is running ("nociloop sim patient" starts a simulated one)
  - it is on this machine or in this network, and no firewall stands between (UDP and TCP 16572 to 16604)
  - both sides have the same SessionID and ResolveScope in lsl_api.cfg (this side reads {config})
  - where multicast is blocked, KnownPeers of lsl_api.cfg names the amplifier's host
"""


def streams_verb(
    wait_s: Annotated[
        float, typer.Option("--wait", min=0.1, max=60.0, help="seconds to wait for answers")
    ] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """List the LSL streams on the network, with the lines to paste into session.toml."""
    from controller.lsl_log import config_file, quiet

    config = config_file() or "none: the defaults hold"
    quiet()
    from controller.streams import list_streams

    rows = list_streams(wait_s, full=True)
    if as_json:
        sys.stdout.write(json.dumps([asdict(row) for row in rows], ensure_ascii=False) + "\n")
    elif not rows:
        sys.stdout.write(NONE_FOUND.format(wait_s=wait_s, config=config))
    else:
        sys.stdout.write("\n".join(map(_shown, rows)))


def _shown(row: StreamRow) -> str:
    """A stream, and the section that would choose it where it can be EEG."""
    from controller.config import printable
    from controller.streams import FORMATS, source_lines

    head = printable(f"{row}, uid {row.uid}")
    if row.format not in FORMATS or not row.sfreq_hz > 0:
        return f"{head}\n  no EEG: {row.format} at an irregular rate\n"
    return head + "\n" + "".join(f"    {printable(line)}\n" for line in source_lines(row).splitlines())
