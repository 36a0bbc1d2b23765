"""Composition root: settings, URLs, processes. It wires the parts together and decides nothing."""

from gateway_project.celery import app as celery_app

__all__ = ["celery_app"]
