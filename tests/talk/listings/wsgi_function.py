def app(environ, callback):
    status, headers = '200 OK', []
    callback(status, headers)
    return [b'Hello world!\n']
