"""Memory: what a filter means, how ranks are fused, how passages are chosen; stores nothing."""
