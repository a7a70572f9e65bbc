"""Open Sound Control 1.0 for the worker: packets over UDP and TCP, the tree of addresses, replies and subscriptions."""
