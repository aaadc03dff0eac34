"""
Where results are fetched that are too large for a frame: `path("results/", include("chancelery.tasks.urls"))`.

Whoever has the address has the result: it is signed, and is told to nobody but whom the job tells its end.
"""

from __future__ import annotations

from django.urls import path

from chancelery.tasks.views import result

app_name = "chancelery"
urlpatterns = [path("<str:signed>/", result, name="result")]
