"""Request and connection budgets: what may be sent when, so that the venue never has to say no."""

from connector.throttle.budget import Budget, Hold, VenueTime
from connector.throttle.connects import LIVED_S, Backoff, BackoffPolicy, ConnectBudget
from connector.throttle.ledger import BudgetState, Grant, Ledger, LedgerState, Priority

__all__ = [
    "LIVED_S",
    "Backoff",
    "BackoffPolicy",
    "Budget",
    "BudgetState",
    "ConnectBudget",
    "Grant",
    "Hold",
    "Ledger",
    "LedgerState",
    "Priority",
    "VenueTime",
]
