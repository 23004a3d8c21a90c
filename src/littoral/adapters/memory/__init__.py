"""Drivers of collections: the embedded one, and those that ask servers elsewhere.

Each server's driver says in a `shelf` how that server is asked; `served` makes a collection of it,
`ranking` the best hits, `scoring` their scores, `bodies` the record as it was put.
"""
