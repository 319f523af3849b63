"""What a text says is in an image, element by element, and what to ask about each."""
