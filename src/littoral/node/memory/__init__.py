"""The collections of a PoP: who may use which, on which driver; texts are embedded on the way."""
