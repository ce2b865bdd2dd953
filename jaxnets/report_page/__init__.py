"""Reports of runs as web pages: one self-contained file each, without network requests."""

from jaxnets.report_page.page import write
from jaxnets.report_page.predictions import Predictions
from jaxnets.report_page.run import Network, compare_runs, run_page

__all__ = ["Network", "Predictions", "compare_runs", "run_page", "write"]
