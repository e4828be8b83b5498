//! The block directives `http`, `server`, `location` and `limit_except`.

use weir_conf::{Cx, Fault, Local, Node, Slot, directives};
use weir_script::{CaptureRegex, Variables};
use weir_wire::h1::Method;

use super::listen;
use super::location::{Kind, Pattern};

/// The kind of a block.
pub(crate) static LOCATION: Slot<Blocks> = Slot::new();

directives! {
    /// The blocks of the HTTP configuration.
    pub struct Blocks as BlocksWritten in [http] {
        /// The HTTP configuration.
        "http" in [main] opens http [0]: "{ … }" => open_http,
        /// A virtual server.
        "server" in [http] opens server [0]: "{ … }" then close_server,
        /// Settings for requests by URI.
        "location" in [server, location] opens location [1, 2]: "[ = | ~ | ~* | ^~ ] uri { … }"
            => open_location,
        /// Settings for all methods except those listed.
        "limit_except" in [location] opens limit_except [1+]: "method ... { … }"
            => open_limit_except,
        field http: Local<bool>,
        // Of a location: the URIs that it matches.
        field pattern: Local<Option<Pattern>>,
        field regex: Local<Option<CaptureRegex>>,
        // Of a location with a `limit_except`: the exempt methods.
        field unlimited: Local<Option<Methods>>,
    }
}

/// The names of variables that a configuration may not define. A registry of the assembly.
#[derive(Debug, Default)]
pub(crate) struct ReservedNames(pub(crate) Vec<&'static str>);

fn open_http(own: &mut BlocksWritten, _: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    for name in std::mem::take(&mut cx.registry::<ReservedNames>().0) {
        cx.registry::<Variables>().reserve(name);
    }
    match own.http.replace(true) {
        None => Ok(()),
        Some(_) => Err(Fault::duplicate()),
    }
}

fn close_server(_: &mut BlocksWritten, _: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    listen::close_server(cx)
}

fn open_location(own: &mut BlocksWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let pattern = Pattern::parse(&node.args)?;
    let regex = match pattern.kind {
        Kind::Regex { caseless } => {
            Some(CaptureRegex::compile(&pattern.name, caseless, cx.registry::<Variables>())?)
        }
        _ => None,
    };
    let inside = match &own.pattern {
        Some(Some(outer)) => pattern.check_inside(outer),
        _ => Ok(()),
    };
    if let Some(child) = cx.child() {
        let written = child.written_mut(&LOCATION);
        written.pattern = Some(Some(pattern));
        written.regex = Some(regex);
    }
    inside
}

fn open_limit_except(own: &mut BlocksWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    if own.unlimited.is_some() {
        return Err(Fault::duplicate());
    }
    own.unlimited = Some(Some(Methods::parse(node)?));
    Ok(())
}

/// A set of methods for `limit_except`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Methods(u32);

/// The methods that nginx knows by name.
const METHODS: [(&str, Method); 14] = [
    ("GET", Method::Get),
    ("HEAD", Method::Head),
    ("POST", Method::Post),
    ("PUT", Method::Put),
    ("DELETE", Method::Delete),
    ("MKCOL", Method::Mkcol),
    ("COPY", Method::Copy),
    ("MOVE", Method::Move),
    ("OPTIONS", Method::Options),
    ("PROPFIND", Method::Propfind),
    ("PROPPATCH", Method::Proppatch),
    ("LOCK", Method::Lock),
    ("UNLOCK", Method::Unlock),
    ("PATCH", Method::Patch),
];

impl Methods {
    fn parse(node: &Node) -> Result<Self, Fault> {
        let mut methods = Self::default();
        for word in &node.args {
            let text = word.text();
            let known = METHODS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
            let Some((_, method)) = known else {
                return Err(Fault::new(format!("invalid method \"{text}\"")).at(word));
            };
            methods.add(*method);
        }
        if methods.has(Method::Get) {
            methods.add(Method::Head);
        }
        Ok(methods)
    }

    fn add(&mut self, method: Method) {
        self.0 |= Self::bit(method);
    }

    /// Whether the set has a method. It never has one without a name in nginx.
    pub fn has(self, method: Method) -> bool {
        self.0 & Self::bit(method) != 0
    }

    fn bit(method: Method) -> u32 {
        METHODS.iter().position(|(_, known)| *known == method).map_or(0, |at| 1 << at)
    }
}
