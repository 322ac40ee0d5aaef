"""What plug-ins may import beside the types: run lengths, compiling, tokens, weights."""
