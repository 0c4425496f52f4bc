"""What one caller may use, how many requests are at work at once, and who waits: refusal instead of collapse."""
