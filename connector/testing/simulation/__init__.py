"""A whole venue in one thread, from the engine's calls to the exchange's ledger: one seed, one trace, any mix of faults.

`World` holds simulated exchanges, a network, a clock and a Connector made of the shipped actors, unchanged. `Storm` plays a
script of faults in it, `draw` makes one from a seed, `shrink` leaves out what a failure does not need. Needs the extra
`simulator`.
"""

from connector.testing.simulation.far_side import MemoryExchange
from connector.testing.simulation.mishaps import ERRORS, Mishap, MishapExit, Mishaps
from connector.testing.simulation.scripts import ACTORS, KINDS, Fault, Script, Storm, draw, shrink
from connector.testing.simulation.world import World

__all__ = [
    "ACTORS",
    "ERRORS",
    "KINDS",
    "Fault",
    "MemoryExchange",
    "Mishap",
    "MishapExit",
    "Mishaps",
    "Script",
    "Storm",
    "World",
    "draw",
    "shrink",
]
