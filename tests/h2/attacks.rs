//! Attacks: each is ended or limited, others are served meanwhile, and what the worker spends stays
//! bounded: its memory absolutely, its CPU time by that of the attacker, which is this thread's.

use std::cell::Cell;

use super::{content, server};
use crate::harness::{
    Backend, Frame, H2Client, Reply, Server, children, code, flag, frame_kind as kind, is_nginx,
    literals, own_memory, request,
};

/// The most memory that an attack may cost the worker, in KiB. Fewer than the default buffers of a
/// hundred requests.
const MOST_MEMORY: u64 = 24 << 10;

/// The most CPU time that an attack may cost the worker, in clock ticks (1/100 s): it is bounded
/// by the attack's size, generously as debug builds are slow.
const MOST_TICKS: u64 = 1500;

/// Attacks that nginx lets through are not tried on it.
fn is_spared() -> bool {
    is_nginx()
}

/// A server before an attack.
struct Victim {
    server: Server,
    _backend: Backend,
    worker: u32,
    memory: u64,
    ticks: u64,
    /// The most memory seen so far.
    most: Cell<u64>,
}

impl Victim {
    fn new(conf: &str) -> Self {
        let backend = Backend::new(|seen| match seen.target() {
            "/hold" => Reply::hold(),
            _ => Reply::ok("fine"),
        });
        let server = server(&format!(
            "{conf} location / {{ proxy_pass http://%backend%; }} location /file {{ root %dir%; }}
             location /own {{ return 200 fine; }}"
        ))
        .set("backend", backend.address())
        .file("file", content(1_000_000))
        .start();
        // What the first requests allocate is no cost of the attack.
        for _ in 0..3 {
            let mut client = H2Client::of(&server);
            assert_eq!(client.get("/").whole().1, "fine");
            assert_eq!(client.get("/file").body.len(), 1_000_000);
        }
        let worker = children(server.pid())[0];
        let (memory, ticks) = (own_memory(worker), ticks(worker));
        Self { server, _backend: backend, worker, memory, ticks, most: Cell::new(memory) }
    }

    /// A client of the attacker.
    fn attacker(&self) -> H2Client {
        H2Client::of(&self.server)
    }

    /// Another client is served; memory is looked at.
    #[track_caller]
    fn serves_others(&self) {
        let mut client = H2Client::of(&self.server);
        assert_eq!(client.get("/own").whole(), (200, "fine".to_owned()));
        self.most.set(self.most.get().max(own_memory(self.worker)));
    }

    /// Checks what the attack has cost.
    #[track_caller]
    fn has_paid_little(&self, name: &str) {
        self.serves_others();
        assert_eq!(children(self.server.pid()), [self.worker], "{name}: the worker lives");
        let grown = self.most.get().saturating_sub(self.memory);
        let spent = ticks(self.worker) - self.ticks;
        println!("{name}: {grown} KiB, {spent} ticks");
        assert!(grown < MOST_MEMORY, "{name}: {grown} KiB more");
        assert!(spent < MOST_TICKS, "{name}: {spent} ticks");
    }
}

/// The CPU time of a process in clock ticks.
fn ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn get_frame(stream: u32, path: &str) -> Frame {
    let block = literals(&request("GET", path, ""));
    Frame::new(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, block)
}

/// Makes the frame of this number.
type MakesFrame = Box<dyn Fn(usize) -> Frame>;

/// Sends frames that `make` gives, until the server ends the connection or `rounds` are over;
/// what the server sends is read now and then. Returns whether it ended the connection.
fn flood(client: &mut H2Client, rounds: usize, mut make: impl FnMut(usize) -> Vec<Frame>) -> bool {
    client.is_polite = false;
    for round in 0..rounds {
        if !client.frames(&make(round)) {
            return true;
        }
        if round % 50 == 49 {
            let mark = (round as u64).to_be_bytes();
            client.frame(&Frame::new(kind::PING, 0, 0, mark));
            loop {
                match client.next_frame() {
                    Ok(frame) if frame.kind == kind::GOAWAY => return true,
                    Ok(frame) if frame.kind == kind::PING && frame.payload == mark => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                        panic!("the server is silent in round {round}")
                    }
                    Err(_) => return true,
                }
            }
        }
    }
    false
}

/// Whether the server has said or shown that it ends the connection. A lingering close takes and
/// drops what is still sent.
fn gives_up(client: &mut H2Client) -> bool {
    client.is_polite = false;
    loop {
        match client.next_frame() {
            Ok(frame) if frame.kind == kind::GOAWAY => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::TimedOut,
        }
    }
}

#[test]
fn rapid_reset() {
    let victim = Victim::new("");
    let mut client = victim.attacker();
    let mut stream = 1;
    let ended = flood(&mut client, 2000, |_| {
        let mut frames = Vec::new();
        for _ in 0..20 {
            frames.push(get_frame(stream, "/hold"));
            frames.push(Frame::reset(stream, code::CANCEL));
            stream += 2;
        }
        frames
    });
    assert!(ended, "40,000 streams were opened and reset");
    victim.has_paid_little("rapid reset");
}

#[test]
fn the_server_is_made_to_reset() {
    let victim = Victim::new("");
    let mut client = victim.attacker();
    let mut stream = 1;
    let ended = flood(&mut client, 2000, |_| {
        let mut frames = Vec::new();
        for _ in 0..20 {
            // An increment of 0 is an error of the stream.
            frames.push(get_frame(stream, "/hold"));
            frames.push(Frame::window(stream, 0));
            stream += 2;
        }
        frames
    });
    assert!(ended, "40,000 streams were reset by the server");
    victim.has_paid_little("MadeYouReset");
}

#[test]
fn endless_heads() {
    if is_spared() {
        return;
    }
    let victim = Victim::new("");
    for piece in [vec![], literals(&[("x", "y")]), vec![0x80 + 2; 1000]] {
        let mut client = victim.attacker();
        let block = literals(&request("GET", "/", ""));
        client.frame(&Frame::new(kind::HEADERS, flag::END_STREAM, 1, block));
        let more = Frame::new(kind::CONTINUATION, 0, 1, piece).bytes();
        let many = more.repeat(1 + 8192 / more.len());
        // Far beyond the largest head: 80 MiB.
        let _ = (0..10_000).all(|_| client.raw(&many));
        let ended = gives_up(&mut client);
        victim.serves_others();
        assert!(ended, "the head never ended: {} KiB", victim.most.get() - victim.memory);
    }
    victim.has_paid_little("CONTINUATION flood");
}

#[test]
fn header_bomb() {
    let victim = Victim::new("");
    let mut client = victim.attacker();
    // A field of 4,000 bytes goes to the table; then a byte stands for it.
    let mut block = literals(&request("GET", "/own", ""));
    block.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    block.extend([b'v'; 4000]);
    let bomb = [literals(&request("GET", "/own", "")), vec![0xbe; 12_000]].concat();
    let ends = flag::END_HEADERS | flag::END_STREAM;
    client.frame(&Frame::new(kind::HEADERS, ends, 1, block));
    assert_eq!(client.answer(1).status, 200);
    client.frame(&Frame::new(kind::HEADERS, ends, 3, bomb));
    // 48 MB of fields are refused.
    match client.try_answer(3) {
        Ok(answer) => assert!(answer.status != 200, "{answer:?}"),
        Err(_) => assert_eq!(client.gone.map(|(code, _)| code), Some(code::ENHANCE_YOUR_CALM)),
    }
    victim.has_paid_little("HPACK bomb");
}

#[test]
fn many_empty_cookies() {
    let victim = Victim::new("");
    let mut client = victim.attacker();
    // Crumbs of one byte each, of the table's own entry `cookie` with an empty value.
    let block = [literals(&request("GET", "/own", "")), vec![0x80 | 32; 16_000]].concat();
    let ends = flag::END_HEADERS | flag::END_STREAM;
    client.frame(&Frame::new(kind::HEADERS, ends, 1, block));
    if let Ok(answer) = client.try_answer(1) {
        assert!(answer.status != 200, "{answer:?}");
    }
    victim.has_paid_little("a cookie of 16,000 crumbs");
}

#[test]
fn table_thrash() {
    let victim = Victim::new("keepalive_requests 100000;");
    let mut client = victim.attacker();
    // Each head fills and empties the table.
    let mut block = Vec::new();
    for _ in 0..50 {
        block.extend([0x20, 0x3f, 0xe1, 0x1f]);
    }
    block.truncate(4);
    block.extend(literals(&request("GET", "/own", "")));
    for _ in 0..100 {
        block.extend([0x40, 1, b'x', 40]);
        block.extend([b'v'; 40]);
    }
    let ends = flag::END_HEADERS | flag::END_STREAM;
    for round in 0..500 {
        let stream = 2 * round + 1;
        if !client.frame(&Frame::new(kind::HEADERS, ends, stream, &block[..])) {
            break;
        }
        match client.try_answer(stream) {
            Ok(answer) => assert_eq!(answer.status, 200),
            Err(_) => break,
        }
    }
    victim.has_paid_little("table thrash");
}

#[test]
fn floods_of_control_frames() {
    if is_spared() {
        return;
    }
    let victim = Victim::new("");
    let priority =
        |round: usize| Frame::new(kind::PRIORITY, 0, 2 * round as u32 + 1, [0, 0, 0, 0, 200]);
    let reorder = |round: usize| {
        let on = (2 * (round as u32 * 7 % 500) + 1) | 1 << 31;
        let stream = 2 * (round as u32 % 500) + 1001;
        Frame::new(kind::PRIORITY, 0, stream, [&on.to_be_bytes()[..], &[round as u8]].concat())
    };
    let floods: [(&str, MakesFrame); 7] = [
        ("SETTINGS", Box::new(|round| Frame::settings(&[(4, round as u32 % 60_000)]))),
        ("PING", Box::new(|_| Frame::new(kind::PING, 0, 0, *b"pingping"))),
        ("PRIORITY", Box::new(priority)),
        ("exclusive PRIORITY", Box::new(reorder)),
        ("WINDOW_UPDATE", Box::new(|_| Frame::window(0, 1))),
        ("unknown types", Box::new(|_| Frame::new(77, 0, 0, []))),
        (
            "PRIORITY_UPDATE",
            Box::new(|round| {
                let stream = (2 * round as u32 + 1).to_be_bytes();
                Frame::new(kind::PRIORITY_UPDATE, 0, 0, [&stream[..], b"u=1"].concat())
            }),
        ),
    ];
    for (name, make) in floods {
        let mut client = victim.attacker();
        let ended =
            flood(&mut client, 4000, |round| (0..50).map(|at| make(round * 50 + at)).collect());
        assert!(ended, "200,000 frames of {name} were taken");
        victim.serves_others();
    }
    victim.has_paid_little("floods of control frames");
}

#[test]
fn replies_that_nobody_reads() {
    let victim = Victim::new("");
    for frame in [Frame::settings(&[]), Frame::new(kind::PING, 0, 0, *b"pingping")] {
        let mut client = victim.attacker();
        let many = frame.bytes().repeat(1000);
        // Nothing is read meanwhile: 2,000,000 replies would take 34 MB. If the server stops
        // reading, writing fails at its deadline.
        let _ = (0..2000).all(|_| client.raw(&many));
        let ended = gives_up(&mut client);
        victim.serves_others();
        let grown = victim.most.get() - victim.memory;
        assert!(ended, "2,000,000 frames were taken: {grown} KiB");
    }
    victim.has_paid_little("unread replies");
}

#[test]
fn floods_of_empty_data() {
    if is_spared() {
        return;
    }
    let victim = Victim::new(
        "client_max_body_size 0; proxy_request_buffering off;
        proxy_http_version 1.1;",
    );
    for padded in [false, true] {
        let mut client = victim.attacker();
        let stream = client.open(&request("POST", "/", ""), false);
        let frame = match padded {
            false => Frame::data(stream, [], false),
            true => Frame::new(kind::DATA, flag::PADDED, stream, [0]),
        };
        let ended = flood(&mut client, 4000, |_| vec![frame.clone(); 50]);
        assert!(ended, "200,000 empty frames were taken");
        victim.serves_others();
    }
    victim.has_paid_little("empty DATA");
}

#[test]
fn windows_of_one_byte() {
    let victim = Victim::new("");
    let mut client = H2Client::connect(&victim.server.address("port"), &[(4, 1)]);
    client.refills = false;
    let streams: Vec<u32> = (0..100).map(|_| client.ask("/file")).collect();
    'attack: for _ in 0..200 {
        let frames: Vec<Frame> = streams.iter().map(|&stream| Frame::window(stream, 1)).collect();
        if !client.frames(&frames) {
            break;
        }
        for _ in 0..100 {
            if client.step().is_err() || client.gone.is_some() {
                break 'attack;
            }
        }
    }
    victim.serves_others();
    victim.has_paid_little("windows of one byte");
}

#[test]
fn slow_readers() {
    if is_spared() {
        return;
    }
    let victim = Victim::new("");
    let address = victim.server.address("port");
    let clients: Vec<H2Client> = (0..20)
        .map(|_| {
            let mut client = H2Client::connect(&address, &[(4, 0)]);
            client.refills = false;
            for _ in 0..100 {
                client.ask("/file");
            }
            client
        })
        .collect();
    let mut clients = clients;
    for client in &mut clients {
        client.is_polite = false;
        for _ in 0..100 {
            if client.next_frame().is_err() {
                break;
            }
        }
        victim.serves_others();
    }
    // 2,000 requests wait; each has its own few KiB.
    let grown = victim.most.get().saturating_sub(victim.memory);
    println!("slow readers: {grown} KiB for 2,000 streams");
    assert!(grown < 64 << 10, "{grown} KiB more");
}

#[test]
fn a_hundred_thousand_streams() {
    let victim = Victim::new("keepalive_requests 1000000;");
    let mut client = victim.attacker();
    let mut served = 0;
    'attack: for _ in 0..1000 {
        let streams: Vec<u32> = (0..100).map(|_| client.next_stream()).collect();
        let frames: Vec<Frame> = streams.iter().map(|&stream| get_frame(stream, "/own")).collect();
        client.frames(&frames);
        for stream in streams {
            match client.try_answer(stream) {
                Ok(answer) => served += usize::from(answer.status == 200),
                Err(_) => break 'attack,
            }
        }
    }
    // It is no attack yet: all are served.
    assert_eq!(served, 100_000);
    victim.serves_others();
    let grown = victim.most.get().saturating_sub(victim.memory);
    assert!(grown < MOST_MEMORY, "{grown} KiB more");
}
