"""The OpenAI door: conversations about pictures in the words of that API."""
