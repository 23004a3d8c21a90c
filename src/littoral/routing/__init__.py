"""Routing: where a request goes, and what follows a failure. Decisions only.

`failures` names what can go wrong at an upstream, `board` keeps their health and load, `choose`
picks one of them, and `journey` is the machine of one request on its way through them.
"""
