"""What the README and the documentation show: examples that run, commands and addresses that exist."""
