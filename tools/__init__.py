"""Programs for those who work on Littoral. Nothing here is installed or needed to run it."""
