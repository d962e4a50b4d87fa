"""Text to tokens: sources, files, the vocabulary, encoding, the prepared folder data/NAME."""
