"""The exchange: the life of one request, from arrival to receipt."""
