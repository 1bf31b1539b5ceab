"""Where time comes from, and how far the venue's clock is from ours."""
