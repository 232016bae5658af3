"""What a request costs, here and with peers: ``make bench`` measures all of it in one run (see README.md)."""
