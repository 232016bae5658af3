"""
The decision, and nothing else: pure functions of a request, a policy, keys and a point in time.

Nothing in this package waits, opens a socket, reads a clock or writes a log.
"""
