"""Train captures and timbres from recordings.

`pairs` reads and aligns recordings, `losses` measures errors, and `loop` trains.
"""
