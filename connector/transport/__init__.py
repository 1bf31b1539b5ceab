"""Bytes in and out: WebSocket links and HTTP, each behind one contract."""
