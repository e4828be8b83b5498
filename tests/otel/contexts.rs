//! Trace contexts by every protocol: what clients send, and what upstreams get.

use std::sync::{Arc, Mutex};

use crate::fastcgi::records::output;
use crate::harness::{Application, Backend, H2Client, H2Upstream, Server, Setup};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b9c7c989f97918e1";

/// What an upstream got: all values of each of the two fields.
type Got = Arc<Mutex<Vec<[Vec<String>; 2]>>>;

fn note(got: &Got, fields: &[(String, String)]) {
    let of = |wanted: &str| {
        let found = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.clone()).collect()
    };
    got.lock().unwrap().push([of("traceparent"), of("tracestate")]);
}

/// Upstreams of all kinds, and a server that passes to them at `/KIND/HOW`.
struct World {
    got: Got,
    _upstreams: (H2Upstream, Backend, Application),
    server: Server,
}

const KINDS: [&str; 4] = ["http1", "http2", "grpc", "fastcgi"];
const WAYS: [&str; 4] = ["ignore", "extract", "inject", "propagate"];

fn world() -> World {
    let got = Got::default();
    let noted = Arc::clone(&got);
    let http2 = H2Upstream::answering(move |peer, stream, fields, _| {
        note(&noted, fields);
        let head = [(":status", "200"), ("content-type", "application/grpc")];
        peer.fields(stream, &head, false);
        peer.fields(stream, &[("grpc-status", "0")], true);
    });
    let noted = Arc::clone(&got);
    let http1 = Backend::new(move |seen| {
        note(&noted, &seen.headers);
        crate::harness::Reply::ok("")
    });
    let noted = Arc::clone(&got);
    let fastcgi = output(move |called| {
        let fields = called.params.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("HTTP_")?.to_owned();
            Some((name, value.clone()))
        });
        note(&noted, &fields.collect::<Vec<_>>());
        "Status: 200 OK\r\n\r\n".to_owned()
    });
    let locations: String = KINDS
        .iter()
        .flat_map(|kind| WAYS.map(|how| (kind, how)))
        .map(|(kind, how)| {
            let pass = match *kind {
                "http1" => "proxy_pass http://%http1%;",
                "http2" => "proxy_http_version 2; proxy_pass http://%http2%;",
                "grpc" => "grpc_pass %http2%;",
                _ => "fastcgi_pass %fastcgi%; fastcgi_param A b;",
            };
            format!("location /{kind}/{how} {{ otel_trace_context {how}; {pass} }}\n")
        })
        .collect();
    let conf = format!(
        "log_format ids '$otel_trace_id $otel_span_id $otel_parent_id $otel_parent_sampled';
         server {{ listen 127.0.0.1:%port%; http2 on; access_log %dir%/ids.log ids; {locations} }}"
    );
    let setup: Setup = Server::http(&conf)
        .set("http1", http1.address())
        .set("http2", http2.address())
        .set("fastcgi", fastcgi.address());
    let server = setup.start();
    World { got, _upstreams: (http2, http1, fastcgi), server }
}

impl World {
    /// What the upstream gets of a request with these fields, by HTTP/1.1 or HTTP/2.
    fn ask(&self, by_http2: bool, target: &str, lines: &str) -> [Vec<String>; 2] {
        let status = match by_http2 {
            true => H2Client::of(&self.server).get_with(target, lines).whole().0,
            false => self.server.get_with(target, lines).status,
        };
        assert_eq!(status, 200, "{target}");
        self.got.lock().unwrap().pop().unwrap_or_else(|| panic!("{target} gets to an upstream"))
    }
}

#[test]
fn contexts_pass_through_every_protocol() {
    let world = world();
    let own = format!("00-{TRACE}-{PARENT}-01");
    let lines = format!("traceparent: {own}\r\ntracestate: a=b,c=d\r\n");
    let mut asked = 0;
    for by_http2 in [false, true] {
        for kind in KINDS {
            for how in WAYS {
                let [parents, states] = world.ask(by_http2, &format!("/{kind}/{how}"), &lines);
                asked += 1;
                let ids = world.server.wait_lines("ids.log", asked).remove(asked - 1);
                let ids: Vec<_> = ids.split(' ').collect();
                let what = format!("{kind}, {how}, {parents:?}, {states:?}, {ids:?}");
                let state = [Vec::from(["a=b,c=d".to_owned()]), Vec::new()];
                match how {
                    "ignore" | "extract" => {
                        assert_eq!((&*parents, &states), (&[own.clone()][..], &state[0]), "{what}");
                    }
                    _ => {
                        // Not recorded, as nothing says so.
                        let expected = format!("00-{}-{}-00", ids[0], ids[1]);
                        assert_eq!(parents, [expected], "{what}");
                        assert_eq!(states, state[usize::from(how == "inject")], "{what}");
                    }
                }
                let continues = ["extract", "propagate"].contains(&how);
                assert_eq!(ids[0] == TRACE, continues, "{what}");
                assert_eq!(ids[2..], if continues { [PARENT, "1"] } else { ["-", "0"] }, "{what}");
                assert!(ids[1].len() == 16 && ids[1] != PARENT, "{what}");
            }
        }
    }
}

#[test]
fn what_is_malformed_begins_a_trace_by_every_protocol() {
    let world = world();
    let good = format!("00-{TRACE}-{PARENT}-01");
    for lines in [
        format!("traceparent: ff{}\r\ntracestate: a=b\r\n", &good[2..]),
        format!("traceparent: {}\r\ntracestate: a=b\r\n", good.to_uppercase()),
        format!("traceparent: {good}-more\r\ntracestate: a=b\r\n"),
        format!("traceparent: {}\r\ntracestate: a=b\r\n", good.replace(TRACE, &"0".repeat(32))),
        format!("traceparent: {}\r\n", good.replace(PARENT, &"0".repeat(16))),
        format!("traceparent: {good}\r\ntraceparent: {good}\r\ntracestate: a=b\r\n"),
        "tracestate: a=b\r\n".to_owned(),
    ] {
        for by_http2 in [false, true] {
            for kind in KINDS {
                let target = format!("/{kind}/propagate");
                let [parents, states] = world.ask(by_http2, &target, &lines);
                let what = format!("{kind}: {lines}: {parents:?}, {states:?}");
                assert_eq!((parents.len(), states.len()), (1, 0), "{what}");
                assert!(!parents[0].contains(TRACE) && parents[0].ends_with("-00"), "{what}");
            }
        }
    }
    // Several lists add up, and what is no request of a trace passes unread.
    let lines = format!("traceparent: {good}\r\ntracestate: a=b\r\ntracestate: c=d\r\n");
    for kind in KINDS {
        let [_, states] = world.ask(true, &format!("/{kind}/propagate"), &lines);
        assert_eq!(states, ["a=b,c=d"], "{kind}");
    }
    let [parents, _] = world.ask(true, "/grpc/ignore", "traceparent: odd\r\n");
    assert_eq!(parents, ["odd"]);
}
