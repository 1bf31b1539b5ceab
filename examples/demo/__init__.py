"""Parts of the demonstration in `supervision_tree.py`; nothing here belongs to the library."""
