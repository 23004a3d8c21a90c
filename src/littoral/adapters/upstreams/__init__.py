"""Other servers that speak the API: how each is asked, and one request to whichever can answer."""
