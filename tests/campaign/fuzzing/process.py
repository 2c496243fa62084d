"""`python -m tests.campaign.fuzzing.process TARGET [OPTION ...]`: one run of libFuzzer, in a process of its own."""

from __future__ import annotations

import sys

import atheris


def main() -> None:
    """Never returns: libFuzzer ends the process, with 0 where nothing was found."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["safety", "drivers", "tomllib"]):
        from tests.campaign.fuzzing.targets import TARGETS
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
