//! `prometheus`: metrics for Prometheus, in both formats.

use crate::harness::Server;

const CONF: &str = "
    server { listen 127.0.0.1:%port%;
        location = /metrics { prometheus; }
        location / { return 200 a; } }";

const OPEN: &str = "Accept: application/openmetrics-text; version=1.0.0\r\n";

#[test]
fn the_format_is_negotiated() {
    let server = Server::http(CONF).start();
    let text = server.get("/metrics");
    assert_eq!(text.status, 200);
    assert_eq!(text.header("Content-Type"), Some("text/plain; charset=utf-8; version=0.0.4"));
    assert!(text.text().contains("\n# TYPE weir_http_requests_total counter\n"), "{}", text.text());
    assert!(text.text().contains("\nweir_http_requests_total 1\n"), "{}", text.text());
    let open = server.get_with("/metrics", OPEN);
    let media_type = Some("application/openmetrics-text; charset=utf-8; version=1.0.0");
    assert_eq!(open.header("Content-Type"), media_type);
    assert!(open.text().contains("\n# TYPE weir_http_requests counter\n"), "{}", open.text());
    assert!(open.text().ends_with("\n# EOF\n"), "{}", open.text());
}

#[test]
fn methods_that_change_something_are_refused() {
    let server = Server::http(CONF).start();
    let mut client = server.client();
    client.send("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head_response().status, 200);
    let refused = server.ask("POST /metrics HTTP/1.0\r\nContent-Length: 1\r\n\r\na");
    assert_eq!((refused.status, refused.header("Allow")), (405, Some("GET, HEAD")));
}
