"""Scenarios of the fault matrix: orders, accounts, limits, clocks and keys (F36-F63)."""
