"""A venue in a process of its own: the engine's threads share no interpreter lock with its sockets, books and orders.

In the engine's process, `host` owns the other process as a supervised child, `mirror` holds feeds and books equal to those
over there, `refs` are references to the actors over there, and `bridge` is what all of them have in common and what outlives
each life of the process. `line` carries packets, `wire` says what they mean, `outlet` fills them over there. The program that
runs in the other process is `connector.isolated`.
"""
