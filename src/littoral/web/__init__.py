"""HTTP in: the server, the API dialects, health and metrics."""
