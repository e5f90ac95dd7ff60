"""Words in pictures: what of a measured pair's text changed, read on this machine.
No differences of its own, no config, no report: networks and OpenCV on arrays."""

from serve_app.ocr.model_files import ModelFilesWrong
from serve_app.ocr.pair import Found, read
from serve_app.ocr.reader import WORKING_BYTES, Reader, Reads, installed

__all__ = ["WORKING_BYTES", "Found", "ModelFilesWrong", "Reader", "Reads", "installed", "read"]
