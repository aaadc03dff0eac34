"""Pages of the small site."""

from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("hello/", lambda request: HttpResponse(f"hello {request.GET.get('name', '')}".encode()))]
