"""One folder per exchange: pure translators between its wire and the domain."""
