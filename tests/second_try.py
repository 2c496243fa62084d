"""A second try for a test during which the machine itself stood still, and for no other.

A test of real processes asks that something comes within so many ms. Where the machine stalled meanwhile, such a test
says something of the machine: if it failed it is tried once more, and the end of the run names it. Any other failure is
final.
"""

from __future__ import annotations

import time

import pytest
from _pytest.runner import runtestprotocol

from tests.stalls import EVERY_S, Watcher

NOT_AFTER_S = 60.0  # a test that took so long hung: that is no stall of the machine


class SecondTry:
    """The plugin: it tries again, and tells of it at the end."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.told: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        begun_ns = time.monotonic_ns()
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        if any(report.failed for report in reports) and time.monotonic_ns() - begun_ns < NOT_AFTER_S * 1e9:
            time.sleep(2 * EVERY_S)  # a stall that lasts to the end is written after it
            stalls = self.watcher.seen(begun_ns, time.monotonic_ns())
            if stalls:
                self.told.append(
                    f"{item.nodeid}: tried again, the machine stood still: {', '.join(stalls[:5])}"
                )
                self.told += [f"    first: {str(each.longrepr)[-300:]!r}" for each in reports if each.failed]
                item.session._setupstate.teardown_exact(
                    item.session
                )  # fixtures anew, but those of the whole run
                item._initrequest()  # type: ignore[attr-defined]
                reports = runtestprotocol(item, log=False, nextitem=nextitem)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.told:
            terminalreporter.write_line(line, yellow=True)

    def pytest_unconfigure(self) -> None:
        self.watcher.end()
