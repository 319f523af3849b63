"""Questions about an image, answered by a vision-language model."""
