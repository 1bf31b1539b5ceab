"""Logging, counters and events; silent until switched on."""
