"""What the library says about itself: logging (silent until switched on), counters, alarms once per kind."""

from connector.telemetry.counters import Counters, OncePerKind
from connector.telemetry.logging import LogHandle, enable_logging, logger
from connector.telemetry.redaction import forget_secret, redact, register_secret

__all__ = [
    "Counters",
    "LogHandle",
    "OncePerKind",
    "enable_logging",
    "forget_secret",
    "logger",
    "redact",
    "register_secret",
]
