"""Train the network of drum hits: on collected hits, or on the one-shots of a person.

`hits` and `features` prepare sounds, `trainer` trains the network of `model`, `weights` reads and writes it, and
`measures` and `report` judge it. `one_shots` does all of it for a folder.
"""
