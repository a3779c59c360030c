"""What the product does, one verb a file, each named as the function it holds."""
