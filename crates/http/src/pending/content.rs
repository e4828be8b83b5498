//! Directives that would serve the content of a location.
//!
//! A location that has one answers 500: its files are not meant to be sent as they are.

use std::sync::Arc;

use weir_conf::{Cx, Fault, Local, Node, Slot, directives};

/// What would serve the content of a location.
pub static PENDING_CONTENT: Slot<Content> = Slot::new();

directives! {
    /// What would serve the content of a location.
    pub struct Content as ContentWritten in [location] {
        "fastcgi_pass" in [location, location_if] [1]: "address" => set_content,
        "uwsgi_pass" in [location, location_if] [1]: "address" => set_content,
        "scgi_pass" in [location, location_if] [1]: "address" => set_content,
        "grpc_pass" in [location, location_if] [1]: "address" => set_content,
        "memcached_pass" in [location, location_if] [1]: "address" => set_content,
        "proxy_pass" in [location, location_if, limit_except] [1]: "URL" => set_content,
        "perl" in [location, limit_except] [1]: "module::function" => set_content,
        "mp4" in [location] [0]: "" => set_content,
        field content: Local<Option<Arc<str>>>,
    }
}

fn set_content(own: &mut ContentWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    let name = node.text();
    let before = own.content.as_ref().and_then(|content| content.as_deref());
    if before == Some(&*name) && name.ends_with("_pass") {
        return Err(Fault::duplicate());
    }
    cx.warn(format!("\"{name}\" directive is not supported yet, requests are answered with 500"));
    own.content = Some(Some((*name).into()));
    Ok(())
}
