"""The pages. The sockets are in routing.py."""

from django.urls import path

from example import views

urlpatterns = [
    path("", views.page, name="page"),
    path("sliders/", views.sliders, name="sliders"),
    path("upload/", views.upload, name="upload"),
    path("health/", views.health, name="health"),
]
