"""What may come in; pure."""
