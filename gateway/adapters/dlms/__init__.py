"""DLMS meters: the line, conversations with meters on it, what is learned of them, and what is asked of them."""
