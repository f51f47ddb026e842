"""Prepaid arithmetic: pure functions from authorised entries to a balance, and from a balance to a relay's holds.

It decides what a household owes and whether its relay may be closed. It does no I/O, owns no clock and keeps no state
beyond the set it was given; storing, signing and sending entries is left to the gateway and the cloud.
"""
