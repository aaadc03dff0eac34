"""Middleware for the tests of HTTP over channels."""


def reads_the_body(get_response):
    def middleware(request):
        request.body  # noqa: B018 - reading is what it does
        return get_response(request)

    return middleware


def marks(get_response):
    def middleware(request):
        response = get_response(request)
        response["X-Marked"] = "yes"
        marked.append(response.status_code)
        return response

    return middleware


marked = []
