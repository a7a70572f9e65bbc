"""`python -m bridge.cli` is `neural-fx`."""

from bridge.cli import main

if __name__ == "__main__":
    main()
