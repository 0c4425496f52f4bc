"""One module per HTTP surface; handlers stay thin."""
