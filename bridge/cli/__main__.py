"""Run `neural-fx` as `python -m bridge.cli`."""

from bridge.cli import main

if __name__ == "__main__":
    main()
