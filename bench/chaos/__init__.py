"""The crash suite: one fault after another under load, and what is left judged after each."""
