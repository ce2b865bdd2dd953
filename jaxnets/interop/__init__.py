"""Bridges to other formats and libraries."""
