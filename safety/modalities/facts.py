"""Facts with a date: what must hold today, whatever the modality."""

from __future__ import annotations

from safety.limit_values import Limits, is_iso_date
from safety.messages import Reason
from safety.modalities.bounds import shown
from safety.modalities.quantities import Facts
from safety.modalities.reasons import FACT_MISSING, FACT_OUTDATED, reason
from safety.remembering import Remembered


def dated_facts(limits: Limits, facts: Facts) -> tuple[Reason, ...]:
    """The date itself, the file's validity, the consent."""
    return _on(limits, facts.today)


def _dated_on(limits: Limits, today: str) -> tuple[Reason, ...]:
    if not is_iso_date(today):
        return (reason(FACT_MISSING, f"today's date is {shown(today)}", quantity="today"),)
    reasons = []
    if not limits.valid_on(today):
        span = f"{limits.valid_from} to {limits.valid_until}"
        reasons.append(reason(FACT_OUTDATED, f"limits.toml holds from {span}, today is {today}"))
    consent_on = limits.inputs.consent_on
    if not is_iso_date(consent_on):
        reasons.append(reason(FACT_MISSING, "the date of consent", quantity="consent_on"))
    elif not consent_on <= today:
        reasons.append(
            reason(FACT_OUTDATED, f"consent is dated {consent_on}, today is {today}", quantity="consent_on")
        )
    return tuple(reasons)


_on = Remembered(_dated_on)
