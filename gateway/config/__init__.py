"""The file as written: models, loading, positions, schema, and its compilation for the rest of the gateway."""
