//! `weir ha init`, `join`, `leave`, `forget` and `peers`: the identities of nodes on the command
//! line. They write files, which a running server notices by itself.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weir_engine::digest::sha256;
use weir_engine::event_loop::block_on;
use weir_ha::guard::{self, master};
use weir_ha::identity::{Folder, Identity, Peer, Token, hex, is_name};
use weir_ha::link::{Block, show, wish};
use weir_sys::interface;

use crate::cli::Options;
use crate::console::Console;
use crate::cycle::Draft;
use crate::linking;
use crate::paths::Paths;

/// How long a join token lasts, in seconds.
const LASTING: u64 = 15 * 60;

/// The port of links if there is no `ha` block yet.
const LINK_PORT: u16 = 7946;

/// How often the guard is asked whether it has given the addresses up.
const GUARD_LOOKS: Duration = Duration::from_millis(100);

/// The longest time that it has for that.
const PATIENCE: Duration = Duration::from_secs(10);

/// The commands.
const COMMANDS: [&str; 5] = ["init", "join", "leave", "forget", "peers"];

/// Whether this module has the command.
pub(crate) fn knows(command: Option<&OsString>) -> bool {
    command.and_then(|word| word.to_str()).is_some_and(|word| COMMANDS.contains(&word))
}

/// Why a command has failed, in words for a person.
struct Failure(String);

impl<T: ToString> From<T> for Failure {
    fn from(reason: T) -> Self {
        Self(reason.to_string())
    }
}

/// Runs a command, whose words follow `weir ha`. Returns the exit code.
pub(crate) fn run(program: Option<&OsStr>, words: &[OsString]) -> i32 {
    let console = Console::for_command(program);
    let (command, rest) = words
        .split_first()
        .map_or(("", words), |(command, rest)| (command.to_str().unwrap_or_default(), rest));
    let is_option = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
    let end = rest.iter().position(is_option).unwrap_or(rest.len());
    let names: Vec<_> = rest[..end].iter().map(|word| word.to_string_lossy()).collect();
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let options = match Options::parse(&rest[end..]) {
        Ok(options) => options,
        Err(fault) => {
            console.print(fault);
            return 1;
        }
    };
    let host = Host::new(&options, &console);
    let done = match (command, names.as_slice()) {
        ("init", []) => host.init(None),
        ("init", [name]) => host.init(Some(name)),
        ("join", [token, name]) => host.join(token, name),
        ("leave", []) => host.leave(),
        ("forget", [name]) => host.forget(name),
        ("peers", []) => host.peers(),
        ("init", _) => Err("usage: weir ha init NAME [-c file]".into()),
        ("join", _) => Err("usage: weir ha join TOKEN NAME [-c file]".into()),
        ("forget", _) => Err("usage: weir ha forget NAME [-c file]".into()),
        _ => Err(format!("usage: weir ha {command} [-c file]").into()),
    };
    match done {
        Ok(text) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            0
        }
        Err(Failure(reason)) => {
            console.print(reason);
            1
        }
    }
}

/// This host, as the commands see it.
struct Host<'a> {
    paths: Paths,
    globals: Option<String>,
    folder: Folder,
    console: &'a Console,
}

impl<'a> Host<'a> {
    fn new(options: &Options, console: &'a Console) -> Self {
        let paths = Paths::of(options);
        let globals = options.globals.as_ref().map(|text| text.to_string_lossy().into_owned());
        Self { folder: linking::folder(&paths.prefix), paths, globals, console }
    }

    /// The part of the `ha` block for links; `None` if the configuration has no block.
    fn block(&self) -> Result<Option<Block>, Failure> {
        let draft = Draft::read(&self.paths, self.globals.as_deref(), self.console, || ());
        let Ok(draft) = draft else {
            let conf = self.paths.conf.display();
            return Err(format!("{conf} has to be in order for this").into());
        };
        Ok(draft.link_block())
    }

    fn identity(&self) -> Result<Identity, Failure> {
        Ok(self.folder.read()?)
    }

    /// Whether the server runs with its links.
    fn is_running(&self) -> bool {
        show::ask(self.folder.path()).is_ok()
    }

    fn init(&self, name: Option<&str>) -> Result<String, Failure> {
        let is_new = !self.folder.is_made();
        let mut identity = if is_new {
            let name = name.ok_or("usage: weir ha init NAME [-c file]")?;
            if !is_name(name) {
                return Err(bad_name(name).into());
            }
            Identity::new(name, None)?
        } else {
            let identity = self.identity()?;
            if let Some(name) = name.filter(|name| *name != identity.name) {
                return Err(format!(
                    "this node is \"{}\" already; \"weir ha leave\" gives that up, and then it can \
                     be \"{name}\"",
                    identity.name
                )
                .into());
            }
            identity
        };
        let block = self.block()?;
        let own = match &block {
            Some(block) => {
                let addresses = block.addresses(&identity.name).ok_or_else(|| {
                    let names = block.names();
                    format!(
                        "the \"ha\" block has no node \"{}\"; its nodes are {names}",
                        identity.name
                    )
                })?;
                addresses.first().copied()
            }
            None => own_addresses().first().map(|(_, address)| *address),
        };
        let own = own.ok_or("this host has no address that another node could reach")?;
        let port = block.as_ref().map_or(LINK_PORT, |block| block.port);
        let token = identity.invite(SocketAddr::new(own, port), now(), LASTING);
        let token = token.ok_or("the certificate of this node cannot be read")?;
        let written = match (is_new, &identity.invitation) {
            (false, Some(invitation)) => self.folder.write_invitation(invitation),
            _ => self.folder.write(&identity),
        };
        written?;
        // Whoever uses the token at once would be refused by a server that does not know it yet.
        if let Some(invitation) = &identity.invitation {
            show::await_invitation(self.folder.path(), invitation.number());
        }
        Ok(self.invitation(&identity.name, &token, block.as_ref()))
    }

    /// What `init` prints.
    fn invitation(&self, name: &str, token: &Token, block: Option<&Block>) -> String {
        let mut out = format!("This node is \"{name}\".\n");
        if block.is_none() {
            out.push_str(&format!(
                "\nAdd this to {}, at the top level, with the other node's address:\n\n{}\n",
                self.paths.conf.display(),
                proposal(name)
            ));
        }
        if !self.is_running() {
            out.push_str("\nThen start the server, or reload it (weir -s reload).\n");
        }
        let word = token.to_word();
        out + &format!(
            "\nOn the other node, within {} minutes, with the name that it has in the block:\n\n    \
             weir ha join {word} NAME\n",
            LASTING / 60
        )
    }

    fn join(&self, token: &str, name: &str) -> Result<String, Failure> {
        let token = Token::from_word(token)?;
        if !is_name(name) {
            return Err(bad_name(name).into());
        }
        // A node of three or more joins each of the others.
        let known = match self.folder.is_made() {
            true => Some(self.identity()?),
            false => None,
        };
        if let Some(known) = known.as_ref().filter(|known| known.name != name) {
            return Err(format!(
                "this node is \"{}\" already; \"weir ha leave\" gives that up",
                known.name
            )
            .into());
        }
        let mut identity = match &known {
            Some(known) => known.clone(),
            None => Identity::new(name, None)?,
        };
        // Before anything is asked for that cannot be kept.
        self.folder.make()?;
        let welcome = block_on(wish::join(&token, &identity))?;
        if known.as_ref().is_some_and(|known| known.pair != welcome.pair && !known.peers.is_empty())
        {
            return Err(format!(
                "node \"{}\" belongs to another pair than the nodes that this one knows: \"weir ha \
                 leave\" first, and \"weir ha forget {name}\" there",
                welcome.peer.name
            )
            .into());
        }
        identity.pair = welcome.pair;
        identity.peers.retain(|peer| peer.name != welcome.peer.name);
        identity.peers.push(welcome.peer.clone());
        self.folder.write(&identity)?;
        Ok(self.welcome(name, &welcome))
    }

    /// What `join` prints.
    fn welcome(&self, name: &str, welcome: &wish::Welcome) -> String {
        let other = &welcome.peer.name;
        let mut out = format!("This node is \"{name}\" and has joined node \"{other}\".\n");
        let conf = self.paths.conf.display();
        match self.block() {
            Ok(Some(own)) if own.text == welcome.block => {}
            Ok(Some(_)) => out.push_str(&format!(
                "\nThe \"ha\" block of {conf} differs from that of node \"{other}\", which is:\n\n{}",
                welcome.block
            )),
            Ok(None) => out.push_str(&format!(
                "\nAdd this to {conf}, at the top level:\n\n{}",
                welcome.block
            )),
            Err(_) => out.push_str(&format!(
                "\nThe configuration needs this at the top level:\n\n{}",
                welcome.block
            )),
        }
        if !self.is_running() {
            out.push_str("\nThen start the server, or reload it (weir -s reload).\n");
        }
        out
    }

    fn leave(&self) -> Result<String, Failure> {
        let draft = Draft::read(&self.paths, self.globals.as_deref(), self.console, || ()).ok();
        let ha = draft.as_ref().and_then(Draft::ha);
        let shares = ha.is_some_and(|ha| !ha.addresses.is_empty());
        if !self.folder.is_made() && !shares {
            // What an interrupted command has left.
            return match self.folder.remove() {
                Ok(()) => Ok("This node has no identity.\n".to_owned()),
                Err(error) => Err(error.into()),
            };
        }
        let identity = self.folder.is_made().then(|| self.identity()).transpose()?;
        // First of all, so that nothing of this node comes back, whatever happens from here on.
        self.folder.leave()?;
        let mut out = String::new();
        if let Some(draft) = draft.as_ref().filter(|_| shares) {
            out.push_str(&give_up(&guard::folder(&draft.process.pid))?);
        }
        let block = draft.as_ref().and_then(Draft::link_block);
        if let Some(identity) = &identity {
            for peer in &identity.peers {
                out.push_str(&farewell(identity, peer, block.as_ref()));
            }
            self.folder.remove()?;
            out.push_str("The identity of this node is removed.\n");
        }
        out.push_str("It has left the pair, and stays out when the server starts again.\n");
        if let Some(draft) = draft.as_ref().filter(|_| block.is_some()) {
            let conf = self.paths.conf.display();
            out.push_str(&format!(
                "\nWhat remains is for you: take the \"ha\" block out of {conf}"
            ));
            for listen in listens(draft) {
                out.push_str(&format!(
                    ", and \"listen {listen}\", an address that is not here any more"
                ));
            }
            out.push_str(", and reload the server (weir -s reload).\n");
        }
        Ok(out)
    }

    fn forget(&self, name: &str) -> Result<String, Failure> {
        let identity = self.identity()?;
        if !identity.peers.iter().any(|peer| peer.name == name) {
            return Err(format!("no node \"{name}\" is known; \"weir ha peers\" lists them").into());
        }
        self.folder.unpin(name)?;
        Ok(format!("Node \"{name}\" is forgotten: it has no link to this node any more.\n"))
    }

    fn peers(&self) -> Result<String, Failure> {
        let identity = self.identity()?;
        let shown = |digest: Option<[u8; 32]>| digest.map(|digest| hex(&digest));
        let line = |name: &str, digest: Option<[u8; 32]>, what: &str| {
            format!("{name} sha256:{}{what}\n", shown(digest).unwrap_or_default())
        };
        let mut out = line(&identity.name, identity.fingerprint(), " (this node)");
        for peer in &identity.peers {
            let digest = peer.der().map(|der| sha256(&[&der]));
            out.push_str(&line(&peer.name, digest, ""));
        }
        Ok(out)
    }
}

/// Waits until the guard, which sees that the node has left, has given its addresses up. Returns
/// what happened.
fn give_up(guard: &Path) -> Result<String, Failure> {
    let start = Instant::now();
    loop {
        let status = match master::status(guard) {
            Ok(status) => status,
            // The server does not run.
            Err(_) if start.elapsed() < GUARD_LOOKS => return Ok(String::new()),
            Err(error) => return Err(format!("the guard process does not answer: {error}").into()),
        };
        if status["left"] == true && status["keepalived"] == false {
            return Ok("This node holds no address, and its keepalived has ended.\n".to_owned());
        }
        if start.elapsed() > PATIENCE {
            return Err(
                "the node has left the pair, but its keepalived has not ended: see \"weir \
                        ha status\" and the error log"
                    .into(),
            );
        }
        std::thread::sleep(GUARD_LOOKS);
    }
}

/// The `listen` lines with addresses of the block.
fn listens(draft: &Draft) -> Vec<String> {
    let Some(ha) = draft.ha() else { return Vec::new() };
    let sockets = draft.sockets().iter().map(|socket| &socket.address);
    let own = sockets.filter(|address| address.ip().is_some_and(|ip| ha.has_address(ip)));
    let mut listens: Vec<_> = own.map(ToString::to_string).collect();
    listens.dedup();
    listens
}

/// Takes leave of a partner. Returns what happened.
fn farewell(identity: &Identity, peer: &Peer, block: Option<&Block>) -> String {
    match tell(identity, peer, block) {
        Ok(()) => format!("Node \"{}\" has forgotten this node.\n", peer.name),
        Err(Failure(reason)) => format!(
            "Node \"{}\" could not be told ({reason}): run \"weir ha forget {}\" there.\n",
            peer.name, identity.name
        ),
    }
}

/// Tells a partner that this node leaves.
fn tell(identity: &Identity, peer: &Peer, block: Option<&Block>) -> Result<(), Failure> {
    let block = block.ok_or("the configuration has no \"ha\" block with its address")?;
    let of = |name: &str| block.addresses(name).map(<[IpAddr]>::to_vec).unwrap_or_default();
    let (own, theirs) = (of(&identity.name), of(&peer.name));
    let address = theirs.first().ok_or("it is no node of the \"ha\" block")?;
    let from = own.iter().find(|own| own.is_ipv6() == address.is_ipv6());
    let from = from.map(|own| SocketAddr::new(*own, 0));
    let told = wish::leave(SocketAddr::new(*address, block.port), from, peer, identity);
    Ok(block_on(told)?)
}

/// The block to add, with this host's addresses.
fn proposal(name: &str) -> String {
    let own = own_addresses();
    let (interface, address) = own.first().map_or_else(
        || ("eth0".to_owned(), "ADDRESS".to_owned()),
        |(interface, address)| (interface.clone(), address.to_string()),
    );
    let mut out = "ha {\n".to_owned();
    out.push_str(&format!("    node {name} {address} interface={interface};\n"));
    out.push_str("    node OTHER-NAME OTHER-ADDRESS;\n");
    out.push_str("    # address SHARED-ADDRESS/24;   # what clients connect to\n}\n");
    let others = own.iter().skip(1).map(|(interface, address)| format!("{address} ({interface})"));
    let others: Vec<_> = others.collect();
    if !others.is_empty() {
        out.push_str(&format!("\nThis host also has {}.\n", others.join(", ")));
    }
    out
}

/// The addresses of this host that others may reach, IPv4 first.
fn own_addresses() -> Vec<(String, IpAddr)> {
    let mut own = interface::addresses().unwrap_or_default();
    own.retain(|(_, address)| match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    });
    own.sort_by_key(|(_, address)| address.is_ipv6());
    own
}

fn bad_name(name: &str) -> String {
    format!(
        "\"{name}\" is no name for a node: use letters, digits, \"-\", \"_\" and \".\", at most 63"
    )
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
