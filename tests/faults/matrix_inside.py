"""Scenarios of the fault matrix: what goes wrong inside the process (F64-F80)."""
