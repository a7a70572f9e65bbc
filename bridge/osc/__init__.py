"""Control the worker over Open Sound Control 1.0: packets over UDP and TCP, the address tree, and subscriptions."""
