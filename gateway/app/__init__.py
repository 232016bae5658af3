"""The composition root: builds the gateway from a file, listens, reloads, drains and stops."""
