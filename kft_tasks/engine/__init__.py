"""Generation over a trie of prompts: exact, shared, batch-independent."""
