"""Order books: levels and the sync rule. Pure: no thread, no clock, no socket."""
