"""One PoP put together: configuration, home, engines, exchanges, and the code that drives them."""
