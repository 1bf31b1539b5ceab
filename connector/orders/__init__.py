"""The life of an order, decided without input or output."""
