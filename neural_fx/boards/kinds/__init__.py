"""The kinds of slots that come with the package. Each file has one or two, for `neural_fx.boards.registry.SLOTS`."""
