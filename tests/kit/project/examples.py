"""A project's tests, in the words of Channels 1's test kit."""

from django.contrib.auth.models import Group as Role
from django.contrib.auth.models import User
from websockets.sync.client import connect

from chancelery import Channel, Group, route
from chancelery.asgi import channel_layers
from chancelery.generic import BaseConsumer
from chancelery.test import (
    ChannelLiveServerTestCase,
    ChannelTestCase,
    Client,
    TransactionChannelTestCase,
    WSClient,
    apply_routes,
)
from tests.kit.project.routing import squared


class MessageTests(ChannelTestCase):
    def test_a_consumer_is_called_with_a_message(self):
        Channel("square").send({"value": 12})
        squared(self.get_next_message("square", require=True))
        self.assertEqual(self.get_next_message("result", require=True)["value"], 144)
        self.assertIsNone(self.get_next_message("result"))

    def test_a_client_is_answered(self):
        client = Client()
        client.send_and_consume("subscribe", {})
        Group("subscribers").send({"key": "value"})
        self.assertEqual(client.receive(), {"key": "value"})

    def test_every_test_begins_with_an_empty_layer(self):
        self.assertEqual(channel_layers["default"].group_channels("subscribers"), [])


class RouteTests(TransactionChannelTestCase):
    def test_a_class_is_tried_on_its_own(self):
        class Counter(BaseConsumer):
            method_mapping = {"count": "count"}

            def count(self, message, **kwargs):
                self.counted = int(self.kwargs["start"]) + 1

        with apply_routes([Counter.as_route(path=r"^/(?P<start>\d+)/$")]):
            counter = WSClient().send_and_consume("count", path="/7/")
            self.assertEqual(counter.counted, 8)

    @apply_routes([[route("websocket.receive", lambda message: message.reply_channel.send({"text": "[1]"}))]])
    def test_routes_may_be_lists_of_lists(self):
        client = WSClient(ordered=True)
        client.send_and_consume("websocket.receive", text="?")
        self.assertEqual(client.receive(), [1])


class SocketTests(ChannelTestCase):
    @classmethod
    def setUpTestData(cls):
        cls.ann = User.objects.create_user("ann", password="secret")

    def test_members_are_let_in(self):
        client = WSClient()
        client.send_and_consume("websocket.connect", path="/members/", check_accept=False)
        self.assertEqual(client.receive(), {"accept": False})
        client.force_login(self.ann)
        client.send_and_consume("websocket.connect", path="/members/")
        client.send_and_consume("websocket.receive", text="hello", path="/members/")
        self.assertEqual(client.receive(json=False), "HELLO")
        self.assertTrue(Role.objects.filter(name="ann 1").exists())

    def test_json_goes_both_ways(self):
        client = WSClient()
        client.send_and_consume("websocket.connect", path="/echo/")
        client.send_and_consume("websocket.receive", text={"hello": "world"}, path="/echo/")
        self.assertEqual(client.receive(), {"heard": {"hello": "world"}})


class LiveTests(ChannelLiveServerTestCase):
    def test_a_socket_is_served(self):
        for _ in range(2):
            with connect(f"{self.live_server_ws_url}/echo/", open_timeout=30) as client:
                client.send("1")
                self.assertEqual(client.recv(30), '{"heard": 1}')


class OtherLiveTests(ChannelLiveServerTestCase):
    def test_a_socket_is_served_by_another_process_of_a_parallel_run(self):
        LiveTests.test_a_socket_is_served(self)
