from chancelery import route, include


def blog(message):
    message.reply_channel.send({'accept': True})


blog_routes = [
    route('websocket.connect', blog,
          path=r'^/stream/'),
]
routing = [
    include(blog_routes, path=r'^/blog'),
]
