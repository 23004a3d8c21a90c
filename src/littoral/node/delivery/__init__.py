"""Delivery on a PoP: its mover, the process that fetches, keeps and passes on artifacts.

    the PoP's process                          the mover's process
    office.py   starts it, passes on what ---> mover.py    listens on a socket file
                operators ask, tells it of     desk.py     answers what is asked
                the fleet, and says what       pulling.py  one pull, from its reference to its end
                it has and wants
    words.py    what the two tell each other

Bytes are hashed, encrypted and written there, so that requests here never wait for them; and where
that process ends, requests go on.
"""
