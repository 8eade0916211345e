"""One module per question set: from its source to typed questions."""
