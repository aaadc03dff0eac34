"""Where clients fetch results that no frame can carry."""

from django.urls import include, path

urlpatterns = [path("results/", include("chancelery.tasks.urls"))]
