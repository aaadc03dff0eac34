import json

from channels import Channel, Group
from channels.test import ChannelTestCase, WSClient, apply_routes
from channels.routing import route
from django.contrib.auth.models import User

from .consumers import remind
from .models import Line, Room


class ChatTests(ChannelTestCase):
    def test_what_one_says_the_other_hears(self):
        User.objects.create_user('ada', password='secret')
        one, other = WSClient(ordered=True), WSClient(ordered=True)
        one.login(username='ada', password='secret')
        one.send_and_consume('websocket.connect', path='/chat/lobby/')
        other.send_and_consume('websocket.connect', path='/chat/lobby/')
        one.send_and_consume('websocket.receive', path='/chat/lobby/', text={'say': 'hi'})
        self.assertEqual(other.receive(), {'author': 'ada', 'text': 'hi'})
        self.assertEqual(Line.objects.get().room.slug, 'lobby')

    def test_leaving_leaves_the_group(self):
        client = WSClient(ordered=True)
        client.send_and_consume('websocket.connect', path='/chat/lobby/')
        client.send_and_consume('websocket.disconnect', path='/chat/lobby/')
        Group('room-lobby').send({'text': '"anybody?"'})
        self.assertIsNone(client.receive())

    def test_a_reminder(self):
        Channel('chat.remind').send({'reply_channel': 'test!somebody', 'text': 'tea'})
        with apply_routes([route('chat.remind', remind)]):
            client = WSClient()
            client.consume('chat.remind')
        message = self.get_next_message('test!somebody', require=True)
        self.assertEqual(json.loads(message['text']), {'reminder': 'tea'})

    def test_a_new_room_is_told(self):
        client = WSClient()
        client.join_group('rooms')
        Room.objects.create(slug='kitchen', secret='the tea')
        told = client.receive()
        self.assertEqual(told['stream'], 'rooms')
        self.assertEqual(told['payload']['data'], {'slug': 'kitchen', 'topic': ''})
