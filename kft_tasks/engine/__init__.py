"""Generation over a trie of prompts: exact, with shared work, independent of the batch."""
