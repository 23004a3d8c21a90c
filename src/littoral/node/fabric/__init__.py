"""This PoP in the fabric of its owner: who is let in (`registrar`), how it gets in (`newcomer`).

Both are plain calls. How they travel, and when a certificate is renewed, is decided elsewhere.
"""
