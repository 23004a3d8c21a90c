"""The words everything else is written in: ids, values, errors, limits, facts, ports.

This room imports no other and knows no loop, clock, file or socket. Import from its modules:
`littoral.terms.values`, `littoral.terms.errors`, and so on.
"""
