"""HTTP/1.1 to other servers: one connection (hop), all to one server (line), and a client."""
