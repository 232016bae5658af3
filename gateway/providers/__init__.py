"""The outside of keys: where they are fetched from, how long they are good, what serves while they cannot be had."""
