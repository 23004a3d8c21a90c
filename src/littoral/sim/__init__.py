"""A world that is described, not built: virtual clock, seeded chance, modelled links."""
