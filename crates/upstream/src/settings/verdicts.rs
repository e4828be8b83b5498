//! Configurations with the verdicts of `nginx -t` 1.31.5.

use std::path::Path;

use weir_conf::{Slot, assemble, directives, environment::Memory};

use crate::upstreams::{Side, UpstreamPlan, Upstreams};

static ROOT: Slot<Root> = Slot::new();

directives! {
    /// The enclosing blocks.
    struct Root as RootWritten in [main] {
        /// http
        "http" opens http [0]: "{ … }",
        /// stream
        "stream" opens stream [0]: "{ … }",
    }
}

/// Reads a configuration; returns its messages in nginx's form, and its finished upstreams.
fn read(text: &str, side: Side) -> (Vec<String>, Vec<UpstreamPlan>) {
    static TABLE: weir_conf::Table = Root::table(&ROOT);
    let mut env = Memory::default().with("/F", text);
    let loopback = ["127.0.0.1", "::1"].map(|address| address.parse().unwrap());
    env.hosts.insert("localhost".into(), loopback.to_vec());
    let mut tables = crate::tables();
    tables.push(&TABLE);
    let mut assembly = assemble(&tables, Path::new("/F"), Path::new("/"), None, &env);
    let mut lines: Vec<_> =
        assembly.one_lines().into_iter().map(|line| line.replace("/F:", "F:")).collect();
    let mut plans = Vec::new();
    if assembly.ok() {
        let upstreams: Upstreams = assembly.registries.take();
        for plan in upstreams.plans(side, &assembly, None, &env).into_iter().flatten() {
            match plan {
                Ok(plan) => plans.push(plan),
                Err(fault) => {
                    let line = fault.diagnose("", None).one_line(&assembly.sources);
                    lines.push(line.replace("/F:", "F:"));
                }
            }
        }
    }
    (lines, plans)
}

fn http(block: &str) -> (Vec<String>, Vec<UpstreamPlan>) {
    read(&format!("\nhttp {{\nupstream u {{\n{block}\n}}\n}}\n"), Side::Http)
}

/// The content of the block, and the messages, separated by ` | `. The block begins in line 3.
const VERDICTS: &[(&str, &str)] = &[
    ("server 127.0.0.1 weight=0;", "[emerg] invalid parameter \"weight=0\" in F:4"),
    ("server 127.0.0.1 weight=x;", "[emerg] invalid parameter \"weight=x\" in F:4"),
    ("server 127.0.0.1:99999;", "[emerg] invalid port in upstream \"127.0.0.1:99999\" in F:4"),
    ("server [::1;", "[emerg] invalid host in upstream \"[::1\" in F:4"),
    ("server unix:;", "[emerg] no path in the unix domain socket in upstream \"unix:\" in F:4"),
    ("server 127.0.0.1/a;", "[emerg] invalid host in upstream \"127.0.0.1/a\" in F:4"),
    ("server nohost.invalid;", "[emerg] host not found in upstream \"nohost.invalid\" in F:4"),
    ("server 127.0.0.1 max_conns=-1;", "[emerg] invalid parameter \"max_conns=-1\" in F:4"),
    ("server 127.0.0.1 fail_timeout=x;", "[emerg] invalid parameter \"fail_timeout=x\" in F:4"),
    ("server 127.0.0.1 foo;", "[emerg] invalid parameter \"foo\" in F:4"),
    ("server 127.0.0.1 route=;", "[emerg] route is empty in F:4"),
    (
        "server 127.0.0.1 route=123456789012345678901234567890123;",
        "[emerg] route is longer than 32 in F:4",
    ),
    ("server 127.0.0.1 service=;", "[emerg] service is empty in F:4"),
    (
        "server 127.0.0.1 service=http;",
        "[emerg] service upstream \"127.0.0.1\" requires \"resolve\" parameter in F:4",
    ),
    // Weir's own, and those of nginx's commercial version.
    ("server 127.0.0.1 slow_start=10s; server unix:/s slow_start=auto;", ""),
    ("server 127.0.0.1 slow_start=x;", "[emerg] invalid parameter \"slow_start=x\" in F:4"),
    (
        "random; server 127.0.0.1 slow_start=auto;",
        "[emerg] balancing method does not support parameter \"slow_start=auto\" in F:4",
    ),
    (
        "server 127.0.0.1 slow_start=1s; ip_hash;",
        "[emerg] balancing method does not support parameter \"slow_start\" in upstream \"u\" in F:3",
    ),
    (
        "server a.example:80 resolve service=http; zone z 64k;",
        "[emerg] service upstream \"a.example:80\" may not have port in F:4",
    ),
    (
        "server 127.0.0.1 resolve service=http; zone z 64k;",
        "[emerg] service upstream \"127.0.0.1\" requires domain name in F:4",
    ),
    (
        "ip_hash; server 127.0.0.1 backup;",
        "[emerg] balancing method does not support parameter \"backup\" in F:4",
    ),
    (
        "hash $uri; server 127.0.0.1 backup;",
        "[emerg] balancing method does not support parameter \"backup\" in F:4",
    ),
    (
        "random; server 127.0.0.1 backup;",
        "[emerg] balancing method does not support parameter \"backup\" in F:4",
    ),
    ("server 127.0.0.1 backup;", "[emerg] no servers in upstream \"u\" in F:3"),
    ("server 127.0.0.1 backup; ip_hash;", "[emerg] no servers in upstream \"u\" in F:3"),
    ("", "[emerg] no servers are inside upstream in F:5"),
    ("ip_hash;", "[emerg] no servers are inside upstream in F:5"),
    ("server 127.0.0.1; ip_hash; least_conn;", "[warn] load balancing method redefined in F:4"),
    (
        "server 127.0.0.1; sticky route $arg_a; least_conn;",
        "[warn] load balancing method redefined in F:4",
    ),
    ("server 127.0.0.1; hash $uri foo;", "[emerg] invalid parameter \"foo\" in F:4"),
    ("server 127.0.0.1; hash $;", "[emerg] invalid variable name in F:4"),
    ("server 127.0.0.1; random three;", "[emerg] invalid parameter \"three\" in F:4"),
    ("server 127.0.0.1; random two least_time=header;", ""),
    (
        "server 127.0.0.1; random two least_time=connect;",
        "[emerg] invalid parameter \"least_time=connect\" in F:4",
    ),
    // Weir's own, without a verdict of nginx.
    ("ewma; server 127.0.0.1; server 127.0.0.2 backup;", ""),
    ("ewma last_byte tau=500ms; server 127.0.0.1;", ""),
    ("server 127.0.0.1; hash $uri consistent balance=125%;", ""),
    (
        "server 127.0.0.1; hash $uri consistent balance=100%;",
        "[emerg] invalid parameter \"balance=100%\" in F:4",
    ),
    (
        "server 127.0.0.1; hash $uri balance=125%;",
        "[emerg] invalid parameter \"balance=125%\" in F:4",
    ),
    ("queue 10; server 127.0.0.1; least_conn;", ""),
    ("queue 0; server 127.0.0.1;", "[emerg] invalid value \"0\" in F:4"),
    ("queue 1 timeout=x; server 127.0.0.1;", "[emerg] invalid parameter \"timeout=x\" in F:4"),
    ("queue 1; queue 1; server 127.0.0.1;", "[emerg] \"queue\" directive is duplicate in F:4"),
    ("ewma tau=0; server 127.0.0.1;", "[emerg] invalid parameter \"tau=0\" in F:4"),
    ("ewma connect; server 127.0.0.1;", "[emerg] invalid parameter \"connect\" in F:4"),
    ("ewma tau=1s tau=2s; server 127.0.0.1;", "[emerg] invalid parameter \"tau=2s\" in F:4"),
    ("server 127.0.0.1; random two x;", "[emerg] invalid parameter \"x\" in F:4"),
    (
        "server 127.0.0.1; least_time;",
        "[emerg] invalid number of arguments in \"least_time\" directive in F:4",
    ),
    ("server 127.0.0.1; least_time foo;", "[emerg] invalid value \"foo\" in F:4"),
    ("server 127.0.0.1; least_time header foo;", "[emerg] invalid parameter \"foo\" in F:4"),
    (
        "server 127.0.0.1; least_time header; least_time header;",
        "[warn] load balancing method redefined in F:4 | [emerg] \"least_time\" directive is duplicate in F:4",
    ),
    (
        "server 127.0.0.1; keepalive x;",
        "[emerg] invalid value \"x\" in \"keepalive\" directive in F:4",
    ),
    ("server 127.0.0.1; keepalive 1 x;", "[emerg] invalid parameter \"x\" in F:4"),
    (
        "server 127.0.0.1; keepalive 1; keepalive 2;",
        "[emerg] \"keepalive\" directive is duplicate in F:4",
    ),
    (
        "server 127.0.0.1; keepalive_requests x;",
        "[emerg] \"keepalive_requests\" directive invalid number in F:4",
    ),
    (
        "server 127.0.0.1; keepalive_time x;",
        "[emerg] \"keepalive_time\" directive invalid value in F:4",
    ),
    ("server 127.0.0.1; zone \"\";", "[emerg] invalid zone name \"\" in F:4"),
    ("server 127.0.0.1; zone z 1k;", "[emerg] zone \"z\" is too small in F:4"),
    ("server 127.0.0.1; zone z x;", "[emerg] invalid zone size \"x\" in F:4"),
    (
        "server a.example resolve;",
        "[emerg] resolving names at run time requires upstream \"u\" in F:3 to be in shared memory",
    ),
    (
        "server a.example resolve; zone z 64k;",
        "[emerg] no resolver defined to resolve names at run time in upstream \"u\" in F:3",
    ),
    ("server a.example resolve; zone z 64k; resolver 127.0.0.1;", ""),
    ("server 127.0.0.1; sticky foo bar;", "[emerg] unknown parameter \"foo\" in F:4"),
    (
        "server 127.0.0.1; sticky cookie \"\";",
        "[emerg] \"sticky\" directive empty cookie name in F:4",
    ),
    ("server 127.0.0.1; sticky cookie a b;", "[emerg] unknown parameter \"b\" in F:4"),
    (
        "server 127.0.0.1; sticky cookie a domain=;",
        "[emerg] \"sticky\" directive no value for \"domain\" in F:4",
    ),
    (
        "server 127.0.0.1; sticky cookie a path=/ path=/;",
        "[emerg] \"sticky\" directive parameter \"path\" is duplicate in F:4",
    ),
    (
        "server 127.0.0.1; sticky cookie a expires=x;",
        "[emerg] \"sticky\" directive invalid \"expires\" parameter value in F:4",
    ),
    (
        "server 127.0.0.1; sticky cookie a samesite=x;",
        "[emerg] \"sticky\" directive invalid \"samesite\" parameter value in F:4",
    ),
    ("server 127.0.0.1; sticky route a;", "[emerg] invalid variable name \"a\" in F:4"),
    (
        "server 127.0.0.1; sticky route $a; sticky route $b;",
        "[emerg] \"sticky\" directive is duplicate in F:4",
    ),
    (
        "server 127.0.0.1; sticky learn lookup=$arg_a;",
        "[emerg] \"sticky\" directive \"create\" parameter is not specified in F:4",
    ),
    (
        "server 127.0.0.1; sticky learn lookup=$arg_a create=$arg_b;",
        "[emerg] \"sticky\" directive \"zone\" parameter is not specified in F:4",
    ),
    (
        "server 127.0.0.1; sticky learn lookup=$arg_a create=$arg_b zone=a;",
        "[emerg] \"sticky\" directive zone size is not specified in F:4",
    ),
    (
        "server 127.0.0.1; sticky learn lookup=$arg_a create=$arg_b zone=a:1k;",
        "[emerg] \"sticky\" directive zone is too small in F:4",
    ),
    (
        "server 127.0.0.1; sticky learn lookup=a create=$arg_b;",
        "[emerg] \"sticky\" directive missing variable in the \"lookup\" parameter in F:4",
    ),
    ("server 127.0.0.1; resolver foo=1;", "[emerg] host not found in resolver \"foo=1\" in F:4"),
    ("server 127.0.0.1; resolver valid=x;", "[emerg] invalid parameter: valid=x in F:4"),
    ("server 127.0.0.1; resolver ipv4=off;", "[emerg] no name servers defined in F:4"),
    (
        "server 127.0.0.1; resolver 127.0.0.1 ipv4=off ipv6=off;",
        "[emerg] \"ipv4\" and \"ipv6\" cannot both be \"off\" in F:4",
    ),
    ("server 127.0.0.1; resolver 127.0.0.1 ipv4=x;", "[emerg] invalid parameter: ipv4=x in F:4"),
    (
        "server 127.0.0.1; resolver 127.0.0.1; resolver 127.0.0.1;",
        "[emerg] \"resolver\" directive is duplicate in F:4",
    ),
    ("server 127.0.0.1; outlier_ejection;", ""),
    (
        "server 127.0.0.1; outlier_ejection consecutive=off success_rate=2.5 latency=3 interval=1s \
         time=500ms max_time=1h max=100% min_servers=3 min_requests=1;",
        "",
    ),
    ("server 127.0.0.1; outlier_ejection max=0%;", "[emerg] invalid parameter \"max=0%\" in F:4"),
    (
        "server 127.0.0.1; outlier_ejection latency=1;",
        "[emerg] invalid parameter \"latency=1\" in F:4",
    ),
    (
        "server 127.0.0.1; outlier_ejection; outlier_ejection off;",
        "[emerg] \"outlier_ejection\" directive is duplicate in F:4",
    ),
    ("zone u 64k; server 127.0.0.1; agent_check port=99;", ""),
    (
        "zone u 64k; server 127.0.0.1 agent_port=99 agent_addr=::1; server 127.0.0.1:81; \
         agent_check port=98 interval=500ms timeout=1s send=x;",
        "",
    ),
    ("zone u 64k; server unix:/s agent_port=9 agent_addr=127.0.0.1; agent_check;", ""),
    ("server 127.0.0.1 agent_port=99;", ""),
    (
        "zone u 64k; server 127.0.0.1 agent_port=9; server 127.0.0.1:81; agent_check;",
        "[emerg] \"agent_check\" has no \"port\", nor \"127.0.0.1:81\" an \"agent_port\" in upstream \
         \"u\" in F:3",
    ),
    (
        "zone u 64k; server unix:/s; agent_check port=9;",
        "[emerg] \"agent_check\" needs an \"agent_addr\" of \"unix:/s\" in upstream \"u\" in F:3",
    ),
    (
        "server 127.0.0.1; agent_check port=9;",
        "[emerg] agent checks require upstream \"u\" in F:3 to be in shared memory",
    ),
    (
        "server 127.0.0.1; agent_check port=65536;",
        "[emerg] invalid parameter \"port=65536\" in F:4",
    ),
    (
        "server 127.0.0.1; agent_check interval=0;",
        "[emerg] invalid parameter \"interval=0\" in F:4",
    ),
    ("server 127.0.0.1; agent_check a;", "[emerg] invalid parameter \"a\" in F:4"),
    (
        "server 127.0.0.1; agent_check port=9; agent_check port=9;",
        "[emerg] \"agent_check\" directive is duplicate in F:4",
    ),
    (
        "server 127.0.0.1 agent_addr=localhost;",
        "[emerg] invalid parameter \"agent_addr=localhost\" in F:4",
    ),
    ("server 127.0.0.1 agent_port=0;", "[emerg] invalid parameter \"agent_port=0\" in F:4"),
    ("zone u 64k; server 127.0.0.1; load_report;", ""),
    (
        "zone u 64k; server 127.0.0.1; load_report penalty=0.5 blackout=0 expiration=1m \
         metric=named_metrics.queue metric=utilization.disk metric=mem_utilization;",
        "",
    ),
    (
        "server 127.0.0.1; load_report;",
        "[emerg] load reports require upstream \"u\" in F:3 to be in shared memory",
    ),
    (
        "server 127.0.0.1; load_report; load_report;",
        "[emerg] \"load_report\" directive is duplicate in F:4",
    ),
    (
        "server 127.0.0.1; load_report metric=queue;",
        "[emerg] invalid parameter \"metric=queue\" in F:4",
    ),
    (
        "server 127.0.0.1; load_report penalty=-1;",
        "[emerg] invalid parameter \"penalty=-1\" in F:4",
    ),
    (
        "server 127.0.0.1; load_report expiration=0;",
        "[emerg] invalid parameter \"expiration=0\" in F:4",
    ),
    ("server 127.0.0.1 drain;", ""),
    ("server 127.0.0.1 down weight=4 max_fails=0 fail_timeout=1m;", ""),
];

#[test]
fn faults_read_as_those_of_nginx() {
    let mut wrong = Vec::new();
    for (block, expected) in VERDICTS {
        let (lines, _) = http(block);
        let lines = lines.join(" | ");
        if lines != *expected {
            wrong.push(format!("{block}\n  nginx: {expected}\n  weir:  {lines}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_block_becomes_a_plan() {
    let (lines, plans) = http(
        "hash $uri consistent; server localhost:81 weight=2 down; server unix:/s max_fails=0; \
         keepalive 5; keepalive_timeout 5s; queue 7 timeout=90ms;",
    );
    assert_eq!(lines, [""; 0]);
    let [plan] = &plans[..] else { panic!("{plans:?}") };
    assert_eq!(plan.group.key, "http u");
    assert_eq!((plan.keepalive.connections, plan.keepalive.local), (5, false));
    assert_eq!(plan.keepalive.timeout, 5000);
    assert!(plan.key.is_some());
    assert_eq!(plan.group.queue, Some(crate::QueueConfig { size: 7, timeout: 90 }));
    let group = crate::Registry::default().group(&plan.group);
    let names: Vec<_> = group.peers().iter().map(|peer| peer.name.clone()).collect();
    assert_eq!(names, ["127.0.0.1:81", "[::1]:81", "unix:/s"]);
}

#[test]
fn streams_need_ports_and_have_no_sticky() {
    let stream = |block: &str| {
        read(&format!("stream {{ upstream u {{ {block} }} }}"), Side::Stream).0.join(" | ")
    };
    assert_eq!(stream("server 127.0.0.1;"), "[emerg] no port in upstream \"127.0.0.1\" in F:1");
    assert_eq!(stream("server 127.0.0.1:1 drain;"), "[emerg] invalid parameter \"drain\" in F:1");
    assert_eq!(
        stream("least_time header; server 127.0.0.1:1;"),
        "[emerg] invalid value \"header\" in F:1"
    );
    assert_eq!(stream("least_time connect inflight; server unix:/s; server 127.0.0.1:1;"), "");
}

#[test]
fn names_are_declared_once_and_without_ports() {
    let twice = "http { upstream a { server 127.0.0.1; }\nupstream A { server 127.0.0.1; } }";
    let (lines, _) = read(twice, Side::Http);
    assert_eq!(lines, ["[emerg] duplicate upstream \"A\" in F:2"]);
    let both = "http { upstream a { server 127.0.0.1; } } \
                stream { upstream a { server 127.0.0.1:1; } }";
    assert_eq!(read(both, Side::Http).1.len(), 1);
    assert_eq!(read(both, Side::Stream).1[0].group.key, "stream a");
}

#[test]
fn references_find_blocks_and_addresses() {
    let options = weir_engine::url::UrlOptions { default_port: 80, uri_part: true, lookup: None };
    let url = |text| weir_engine::url::parse_url(text, options).unwrap();
    let mut upstreams = Upstreams::default();
    let place = weir_conf::Span::default();
    let block = weir_conf::BlockId(3);
    let name = upstreams.refer(Side::Http, &url("u"), place).unwrap();
    let address = upstreams.refer(Side::Http, &url("127.0.0.1:81"), place).unwrap();
    assert_eq!(address, upstreams.refer(Side::Http, &url("127.0.0.1:81/x"), place).unwrap());
    assert_ne!(address, upstreams.refer(Side::Http, &url("127.0.0.1:82"), place).unwrap());
    upstreams.declare(Side::Http, "u", block, place).unwrap();
    assert_eq!(upstreams.find(Side::Http, "U"), Some(name));
    assert_eq!(upstreams.find(Side::Stream, "u"), None);
    let fault = upstreams.refer(Side::Http, &url("u:81"), place).unwrap_err();
    assert_eq!(fault.message(""), "upstream \"u\" may not have port 81");
    let fault = upstreams.declare(Side::Http, "127.0.0.1", block, place).unwrap_err();
    assert_eq!(fault.message(""), "upstream \"127.0.0.1\" may not have port 81");
}
