"""One example a modality: the tests that hold for every modality run over all of them."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.stimulation import Modality
from tests.safety.examples.ctbs import CTBS
from tests.safety.examples.dbs import DBS
from tests.safety.examples.drg import DRG
from tests.safety.examples.example import Example
from tests.safety.examples.pns import PNS
from tests.safety.examples.rtms import RTMS
from tests.safety.examples.scs import SCS
from tests.safety.examples.tacs import TACS
from tests.safety.examples.tbs import TBS
from tests.safety.examples.tdcs import TDCS
from tests.safety.examples.tens import TENS
from tests.safety.examples.trns import TRNS
from tests.safety.examples.tus import TUS

EXAMPLES: Mapping[Modality, Example] = {
    "tacs": TACS,
    "tdcs": TDCS,
    "trns": TRNS,
    "tens": TENS,
    "rtms": RTMS,
    "tbs": TBS,
    "ctbs": CTBS,
    "dbs": DBS,
    "scs": SCS,
    "drg": DRG,
    "pns": PNS,
    "tus": TUS,
}
