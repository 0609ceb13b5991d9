"""How a round's messages reach the devices: each a `flwr.serverapp.Grid`."""
