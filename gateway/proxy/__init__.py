"""HTTP in and HTTP out: the server that asks for a decision, and the leg that speaks to the upstream."""
