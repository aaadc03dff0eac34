from django.db import models


class Room(models.Model):
    slug = models.SlugField(unique=True)
    topic = models.CharField(max_length=100, blank=True)
    secret = models.CharField(max_length=100, blank=True)


class Line(models.Model):
    room = models.ForeignKey(Room, on_delete=models.CASCADE)
    author = models.CharField(max_length=100)
    text = models.CharField(max_length=500)
