"""One module per exchange: its wire formats, its rules, its words. Loaded by name, so adding one edits nothing here."""

__all__ = ["DEFAULT"]

DEFAULT = "binance_spot"
