# An application with metrics of its own. Under gunicorn it also has gunicorn's, by statsd.
METRICS = b"# HELP shop_orders_total Orders so far.\n# TYPE shop_orders_total counter\nshop_orders_total 3\n"


def app(environ, start_response):
    if environ["PATH_INFO"] == "/metrics":
        start_response("200 OK", [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")])
        return [METRICS]
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [b"shop\n"]
