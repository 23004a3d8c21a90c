"""Rivals, each a process of its own: nothing is shared with what it is measured against."""
