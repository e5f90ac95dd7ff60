"""Who is let in, when it is whose turn, and how long that will take.
No HTTP, no Ray, no images: callers are names, stages are names, and the clock is passed in."""

from serve_app.serving.admission.entrance import NEXT_AT_A_MODEL, Admission, Ticket
from serve_app.serving.admission.keys import KeyFile, KeyRing, KeysUnreadable
from serve_app.serving.admission.quota import Quota

__all__ = ["NEXT_AT_A_MODEL", "Admission", "KeyFile", "KeyRing", "KeysUnreadable", "Quota", "Ticket"]
