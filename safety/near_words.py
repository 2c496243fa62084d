"""How near each permit came to its limits, in words, along a ledger. Pure; nothing here raises on odd content."""

from __future__ import annotations

from dataclasses import dataclass, field

from drivers.capabilities import Capabilities
from drivers.link import Opened
from drivers.stimulation import Train
from safety.derived import nearnesses
from safety.entries import Close, Entry, Genesis
from safety.entry_words import permitted_id
from safety.events import Asked, HostSaid
from safety.limit_values import Limits
from safety.verify import BROKEN

ASKED_MAX = 64  # own choice: older requests are never permitted any more


@dataclass(slots=True)
class Along:
    """The story so far: whose limits, which device, what was asked. `take` an entry, and hear of its permits."""

    limits: Limits | None = None
    caps: Capabilities | None = None
    asked: dict[int, Train] = field(default_factory=dict)
    said: tuple[Train | None, str] = (None, "")

    def take(self, held: Genesis | Entry | Close) -> str:
        """The words for an entry that permits a train: what lies at its limit, and what comes nearest to its own."""
        if isinstance(held, Genesis):
            self.limits = held.rules.limits
        if not isinstance(held, Entry):
            return ""
        match held.event:
            case Asked(request=request):
                self.asked[request.id] = request.train
                if len(self.asked) > ASKED_MAX:
                    del self.asked[next(iter(self.asked))]
            case HostSaid(message=Opened(capabilities=caps)):
                self.caps, self.said = caps, (None, "")
            case _:
                pass
        trains = [self.asked[number] for number in map(permitted_id, held.effects) if number in self.asked]
        return self._words(trains[0]) if trains else ""

    def _words(self, train: Train) -> str:
        """A hold is asked for again and again: what was said of it last is said again."""
        if self.limits is None or self.caps is None:
            return ""
        if self.said[0] != train:
            self.said = (train, words_of(train, self.limits, self.caps))
        return self.said[1]


def words_of(train: Train, limits: Limits, caps: Capabilities) -> str:
    """What of a train's output lies at its limit, and what comes nearest to its own; "" where its numbers say nothing."""
    try:
        found = [each for each in nearnesses(train, limits, caps) if each.more]
    except BROKEN:
        return ""
    at = [each.row.quantity for each in found if each.room <= 0]
    near = next((each for each in found if each.room > 0), None)
    words = [f"at their limit: {', '.join(at)}"] if at else []
    if near is not None:
        words.append(
            f"nearest: {near.row.quantity} {near.value:g} of {near.limit:g} {near.row.unit}, set by {near.row.set_by}"
        )
    return "; ".join(words)
