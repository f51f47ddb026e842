"""What a command may go through and who may ask for it; pure."""
