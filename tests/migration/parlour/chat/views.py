import json

from channels import Group
from channels.exceptions import ResponseLater
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.http import HttpResponse, JsonResponse

from .models import Line, Room


def rooms(request):
    return JsonResponse({'rooms': list(Room.objects.values_list('slug', flat=True))})


def enter(request, name):
    user, _ = User.objects.get_or_create(username=name)
    login(request, user, backend='django.contrib.auth.backends.ModelBackend')
    return HttpResponse('Welcome, %s' % name)


def say(request, room):
    line = Line.objects.create(room=Room.objects.get(slug=room), author='the web', text=request.GET['text'])
    Group('room-%s' % room).send({'text': json.dumps({'author': line.author, 'text': line.text})})
    return HttpResponse('Said')


def wait(request):
    Group('waiting').add(request.reply_channel)
    raise ResponseLater()


def release(request):
    Group('waiting').send({
        'status': 200,
        'headers': [[b'Content-Type', b'text/plain']],
        'content': b'Worth the wait',
    })
    return HttpResponse('Released')
