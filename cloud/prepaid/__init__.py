"""Prepaid accounts in the cloud: what is issued to them, and the balance that the box computes alike."""
