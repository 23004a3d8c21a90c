"""Bytes of artifacts between PoPs: streams of chunks, files in ranges, news, over mutual TLS.

It runs in the process that moves bytes, on one loop. Which chunks are asked of whom is decided in
the room of delivery; what is kept, and where, is the store's.
"""
