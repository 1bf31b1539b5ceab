"""The actors of one venue (exchange x account)."""
