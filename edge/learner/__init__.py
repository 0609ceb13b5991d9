"""What a device learns with during a federated round."""
