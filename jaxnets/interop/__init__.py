"""Interoperability with other formats and libraries."""
