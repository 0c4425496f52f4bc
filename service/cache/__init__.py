"""What makes two requests interchangeable, and where their answers are kept. README.md has the rules."""
