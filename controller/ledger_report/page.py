"""The safety officer's page as one document: no script, nothing fetched, printable."""

from __future__ import annotations

from controller.finished.page import page, paragraph
from controller.finished.screen import STATEMENT
from controller.ledger_report.reading import Material
from controller.ledger_report.sections import all_of
from safety.verdict_words import answer_of


def render(material: Material) -> str:
    """The page of a ledger."""
    genesis = material.genesis
    simulated = genesis.rules.simulated
    device = "SIMULATED DEVICE" if simulated else "REAL DEVICE"
    footer = f"<footer>{paragraph(f'Made from {material.verdict.path.name} alone. {STATEMENT}')}</footer>"
    return page(
        f"Ledger of session {genesis.rules.session_id}",
        f"{device} · LEDGER {answer_of(material.verdict)}",
        simulated=simulated,
        body=[*all_of(material), footer],
        foot=f"ledger head {material.verdict.head}",
    )
