"""The hot path: requests answered from a cache or by an upstream, by calls, without a task.

A request comes in through `relay.py`, which decides what answers it. What answers is a feed: an
upstream (adapters/upstreams), a handler's own answer, or a stored one. A `Leg` takes a feed to one
client, with its own limits, headers and receipt; a `Flight` takes one feed to several legs.
"""
