"""Tidemill's PySpark runner."""
