"""What plug-ins may import beside the types: run lengths, compiling, memos, tokens, weights."""
