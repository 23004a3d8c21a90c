"""What runs where: which models are loaded on this machine, and who may use them when."""
