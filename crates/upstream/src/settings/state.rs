//! `state FILE` in an `upstream` block: servers that are changed at run time.

use std::io::ErrorKind;

use weir_conf::{Cx, Fault, FileId, Node, parser};
use weir_engine::os_error::Failed;

use crate::{
    server::Server,
    settings::{
        UpstreamWritten,
        server::{Reading, Supported, read_server},
        side,
    },
};

pub(super) fn set_state(
    upstream: &mut UpstreamWritten,
    node: &Node,
    cx: &mut Cx<'_>,
) -> Result<(), Fault> {
    if upstream.state.is_some() {
        return Err(Fault::duplicate());
    }
    if upstream.servers.as_ref().is_some_and(|servers| !servers.is_empty()) {
        return Err(not_both());
    }
    let path = cx.prefix_path(&node.args[0].text());
    upstream.state = Some(Some(path.clone()));
    let text = match cx.env().read_state(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            let call = format!("open() \"{}\" failed", path.display());
            return Err(Fault::new(Failed(&call, &error).to_string()));
        }
    };
    let servers = read(&text, upstream, cx).map_err(|(line, message)| {
        Fault::new(format!("{message} in state file \"{}\":{line}", path.display()))
    })?;
    upstream.servers = Some(servers);
    Ok(())
}

/// The fault of a block with both kinds of servers.
pub(super) fn not_both() -> Fault {
    Fault::new("\"server\" directive cannot be used along with \"state\"")
}

/// The servers of a state file, or the line and the message of its first fault. Messages do not
/// quote other directives than `server`: the file may be a link that the worker's user has made.
fn read(
    text: &[u8],
    upstream: &UpstreamWritten,
    cx: &Cx<'_>,
) -> Result<Vec<Server>, (usize, String)> {
    let line = |at: u32| {
        let before = text.get(..at as usize).unwrap_or(text);
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    };
    let reading =
        Reading { side: side(cx), supported: Supported::by(upstream), env: Some(cx.env()) };
    let parsed = parser::parse(text, FileId(0));
    if let Some(fault) = parsed.faults().next() {
        let at = fault.word.or(fault.span).map_or(0, |span| span.start);
        return Err((line(at), "invalid syntax".to_owned()));
    }
    let mut servers = Vec::with_capacity(parsed.nodes.len());
    for node in &parsed.nodes {
        let at = line(node.span.start);
        if !node.name.is("server") || node.block.is_some() {
            return Err((at, "a line other than \"server ...;\"".to_owned()));
        }
        let server = read_server(&node.args, reading);
        servers.push(server.map_err(|fault| (at, fault.diagnose("server", None).message))?);
    }
    Ok(servers)
}
