"""PairLens inside other people's tools: pytest."""
