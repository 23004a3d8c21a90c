"""This PoP in the fabric of its owner: who is let in, how it gets in, and whom it believes.

`registrar` is the issuing side, `newcomer` the one that asks, `peers` whatever comes after. All are
plain calls: how they travel, and when a certificate is renewed, is decided elsewhere.
"""
