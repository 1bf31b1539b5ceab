"""Order books: levels, the sync rule, and the one writer's view other threads may read. Pure: no thread, no clock, no socket."""

from connector.books.book import Book, exact
from connector.books.live import LiveBook
from connector.books.rule import BookRule, Continuity
from connector.books.sync import Action, BookSync, FetchSnapshot, Invalidate, Publish, Resubscribe

__all__ = [
    "Action",
    "Book",
    "BookRule",
    "BookSync",
    "Continuity",
    "FetchSnapshot",
    "Invalidate",
    "LiveBook",
    "Publish",
    "Resubscribe",
    "exact",
]
