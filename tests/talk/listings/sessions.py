from chancelery import Group
from chancelery.sessions import channel_session
from chancelery.sessions import http_session_user


@channel_session
def ws_connect(message):
    room = message.content['path'].strip('/')
    message.channel_session['room'] = room
    Group('chat-%s' % room).add(
        message.reply_channel
    )


@channel_session
def ws_message(message):
    Group('chat-%s' % message.channel_session['room']).send({
        'text': message.content['text'],
    })


@http_session_user
def ws_connect_user(message):
    message.http_session['room'] = message.content['path'].strip('/')
    if message.user.username:
        message.reply_channel.send({'accept': True, 'text': 'Hello %s' % message.user.username})
