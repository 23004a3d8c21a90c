"""Delivery: what an artifact is, and how it gets to where it is asked for.

An artifact is a set of files, cut into chunks, named by the digest of its manifest. Here is decided
how files are cut, what is missing, who reads which part from the origin and passes it on, and what
makes room for what. Bytes are moved and kept by others.
"""
