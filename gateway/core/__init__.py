"""What a gateway decides, as classes that are told the time; pure."""
