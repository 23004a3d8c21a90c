"""Whom and what to believe: API keys and their budgets, receipts, and the check of an answer.

Rules
- Everything here is a function of its arguments: keys, salts and the time come in from outside.
- Signing and checking signatures are ports (`Signer`, `Verify`); the cryptography is an adapter's.
- What comes from outside is decoded strictly and within bounds, or not at all.

Read in this order: `names`, `decoding`, `dsse`, `digests`, `receipts`, `saved`, `verification`;
then `keys` and `limits`, which stand on their own.
"""
