"""Logs of worlds are not read, so they are not written."""

import logging

import structlog


def quiet_logs() -> None:
    """Let only what ends a program be logged."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
