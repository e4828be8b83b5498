//! `weir ha`: the pair on the command line. `status`, `show` and `drill` are about the addresses.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_engine::listen::Transport;
use weir_ha::Refusal;
use weir_ha::guard::{self, master};
use weir_ha::identity::Folder;
use weir_ha::plan::Plan;
use weir_sys::interface;

use crate::cli::Options;
use crate::console::{Console, say, say_line};
use crate::cycle::Draft;
use crate::guarding;
use crate::linking;
use crate::paths::Paths;
use crate::pid_file;

mod status;

/// The longest time that a drill waits for another node.
const PATIENCE: Duration = Duration::from_secs(3);

/// The longest time until a server that runs has a guard, and how often to look. On an idle machine
/// it takes milliseconds; a host that starts everything at once may need seconds.
const GUARD_COMES: Duration = Duration::from_secs(15);
const GUARD_LOOKS: Duration = Duration::from_millis(50);

/// The longest attempt to reach the address during a drill.
const ATTEMPT: Duration = Duration::from_millis(20);

const USAGE: &str =
    "Usage: weir ha init NAME        make this host the first node of a pair, or print another token
       weir ha join TOKEN NAME  make this host a further node
       weir ha leave            take this host out of the pair
       weir ha forget NAME      have no links to a node any more
       weir ha peers            the known nodes with the digests of their certificates
       weir ha status [--json]  which node holds each address, since when and why; the links, and
                                what the nodes have in common
       weir ha show             the configuration of keepalived for this node
       weir ha drill            prove that another node takes over, and put things back
Each takes -c, -p, -e and -g as the server does.
";

/// Runs a command, whose words follow `weir ha`. Returns the exit code.
pub(crate) fn run(program: Option<&OsStr>, words: &[OsString]) -> i32 {
    let Some((command, rest)) = words.split_first() else {
        say(USAGE);
        return 1;
    };
    let json = rest.iter().any(|word| word == "--json");
    let rest: Vec<OsString> = rest.iter().filter(|word| *word != "--json").cloned().collect();
    let mut console = Console::for_command(program);
    let options = match Options::parse(&rest) {
        Ok(options) => options,
        Err(fault) => {
            console.print(fault);
            return 1;
        }
    };
    let done = match command.to_str() {
        Some("status") => server(&options, &console).and_then(|server| status::run(&server, json)),
        Some("show") => server(&options, &console).and_then(|server| show(&server, &console)),
        Some("drill") => server(&options, &console).and_then(|server| drill(&server, &console)),
        Some("help" | "--help" | "-h") => {
            say(USAGE);
            Ok(())
        }
        _ => {
            say(USAGE);
            Err(Refusal::from(format!("unknown command \"{}\"", command.display())))
        }
    };
    console.leave_terminal();
    match done {
        Ok(()) => 0,
        Err(reason) => {
            if reason != told() {
                console.print(reason);
            }
            1
        }
    }
}

/// A reason that has been printed.
fn told() -> Refusal {
    Refusal::from("")
}

/// A server with an `ha` block, and the folder of its guard.
struct Server {
    draft: Draft,
    conf: PathBuf,
    pid: PathBuf,
    folder: PathBuf,
    prefix: PathBuf,
    /// The folder of the identity.
    links: Folder,
}

/// Reads the configuration. Its faults have been printed.
fn server(options: &Options, console: &Console) -> Result<Server, Refusal> {
    let paths = Paths::of(options);
    let globals = options.globals.as_ref().map(|text| text.to_string_lossy().into_owned());
    let draft = Draft::read(&paths, globals.as_deref(), console, || ());
    let draft = draft.map_err(|()| told())?;
    if draft.ha().is_none() {
        return Err(format!("{} has no \"ha\" block", paths.conf.display()).into());
    }
    let folder = guard::folder(&draft.process.pid);
    let links = linking::folder(&paths.prefix);
    let pid = draft.process.pid.clone();
    Ok(Server { draft, conf: paths.conf, pid, folder, prefix: paths.prefix, links })
}

/// The guard's answer. A server that has just been started, or reloaded, is about to have a guard.
fn ask(server: &Server) -> Result<Value, Refusal> {
    use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
    let start = Instant::now();
    loop {
        // A guard that came between the two looks is found by the next question.
        let runs = pid_file::is_of_running(&server.pid);
        let error = match master::status(&server.folder) {
            Ok(status) => return Ok(status),
            Err(error) => error,
        };
        let pid = server.pid.display();
        return Err(match error.kind() {
            NotFound | ConnectionRefused if !runs => format!(
                "no guard process runs, as the server does not: no process of {pid} is there"
            )
            .into(),
            NotFound | ConnectionRefused if start.elapsed() < GUARD_COMES => {
                std::thread::park_timeout(GUARD_LOOKS);
                continue;
            }
            NotFound | ConnectionRefused => format!(
                "no guard process runs, {} after it was looked for, but the server of {pid} does: \
                 its \"ha\" block is new and waits for a reload, or the error log says why no \
                 guard starts",
                length(GUARD_COMES.as_millis() as u64),
            )
            .into(),
            PermissionDenied => "this needs root".into(),
            _ => format!("the guard process does not answer: {error}").into(),
        });
    }
}

/// A length of time in words.
fn length(millis: u64) -> String {
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..120_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        120_000..7_200_000 => format!("{} min", millis / 60_000),
        7_200_000..172_800_000 => format!("{} h", millis / 3_600_000),
        _ => format!("{} days", millis / 86_400_000),
    }
}

fn plan(server: &Server, console: &Console) -> Result<Plan, Refusal> {
    let Some(ha) = server.draft.ha() else { return Err(told()) };
    let (node, process) = (server.draft.node(), &server.draft.process);
    guarding::plan(ha, node, process, &server.prefix, console).map_err(|()| told())
}

fn show(server: &Server, console: &Console) -> Result<(), Refusal> {
    let plan = plan(server, console)?;
    say_line(format_args!(
        "# keepalived's configuration for node \"{}\", which Weir writes to {} from the \"ha\" block \
         of {}.\n# Changes belong there: this one is rewritten.\n",
        plan.name(),
        server.folder.join(weir_ha::keepalived::CONF_FILE).display(),
        server.conf.display(),
    ));
    say(plan.conf);
    Ok(())
}

fn drill(server: &Server, console: &Console) -> Result<(), Refusal> {
    let plan = plan(server, console)?;
    let before = ask(server)?;
    let held = |status: &Value| -> Vec<bool> {
        let groups = status["groups"].as_array().into_iter().flatten();
        groups.map(|group| group["here"] == "holds").collect()
    };
    let groups = plan.groups.iter().zip(held(&before)).filter(|(_, held)| *held);
    let targets: Vec<_> =
        groups.filter_map(|(group, _)| target(server, &group.addresses)).collect();
    if !held(&before).contains(&true) {
        return Err(
            "this node holds no address at present: run the drill on the node that does".into()
        );
    }
    if targets.is_empty() {
        return Err("no \"listen\" takes TCP connections on an address that is held here, so \
                    nothing shows who answers"
            .into());
    }
    let start = Instant::now();
    let drill = master::Drill::begin(&server.folder)
        .map_err(|error| format!("the addresses could not be given up: {error}"))?;
    say_line(format_args!("given up here after {}", length(millis(start.elapsed()))));
    let mut answered = true;
    for target in &targets {
        match await_answer(*target, start) {
            Some(took) => {
                say_line(format_args!("{target} answers from another node after {}", length(took)))
            }
            None => {
                say_line(format_args!("{target} did not answer within {} s", PATIENCE.as_secs()));
                answered = false;
            }
        }
    }
    let start = Instant::now();
    drill.take_back().map_err(|error| {
        format!("the addresses could not be taken back ({error}): look at \"weir ha status\"")
    })?;
    say_line(format_args!("taken back after {}", length(millis(start.elapsed()))));
    match answered {
        true => Ok(()),
        false => Err("no other node took over: see \"weir ha status\" there".into()),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// An address of a group with a port on which the server listens.
fn target(server: &Server, addresses: &[(IpAddr, u8, String)]) -> Option<SocketAddr> {
    let sockets = server.draft.sockets();
    let mut tcp = sockets.iter().filter(|socket| socket.options.transport == Transport::Stream);
    tcp.find_map(|socket| {
        let (ip, port) = (socket.address.ip()?, socket.address.port()?);
        let fits = |known: &IpAddr| {
            *known == ip || (ip.is_unspecified() && known.is_ipv4() == ip.is_ipv4())
        };
        let known = addresses.iter().map(|(known, ..)| *known).find(fits)?;
        Some(SocketAddr::new(known, port))
    })
}

/// Waits until an address that is not this host's takes connections. Returns the time in
/// milliseconds since `start`.
fn await_answer(target: SocketAddr, start: Instant) -> Option<u64> {
    while start.elapsed() < PATIENCE {
        let own = interface::addresses().unwrap_or_default();
        let is_here = own.iter().any(|(_, address)| *address == target.ip());
        if !is_here && TcpStream::connect_timeout(&target, ATTEMPT).is_ok() {
            return Some(millis(start.elapsed()));
        }
        if is_here {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
    None
}
