from django.urls import path

from chat import views

urlpatterns = [
    path('', views.rooms),
    path('enter/<str:name>/', views.enter),
    path('say/<slug:room>/', views.say),
    path('wait/', views.wait),
    path('release/', views.release),
]
