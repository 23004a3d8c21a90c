"""Effects out: engines, models on disk, the database, keys, the clock, the machine's sensors."""
