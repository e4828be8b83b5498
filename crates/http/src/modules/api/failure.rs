//! Refusals of calls, with the codes of NGINX Plus's API.

use serde_json::{Value, json};

/// The documentation that refusals refer to.
const HREF: &str = "https://nginx.org/en/docs/http/ngx_http_api_module.html";

/// A refused call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The status of the response.
    pub(super) status: u16,
    /// The code that programs read.
    pub(super) code: &'static str,
    /// The reason, for people.
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(status: u16, code: &'static str, text: impl Into<String>) -> Self {
        Self { status, code, text: text.into() }
    }

    /// Status 400: the call itself is wrong.
    pub(super) fn bad(code: &'static str, text: impl Into<String>) -> Self {
        Self::new(400, code, text)
    }

    /// An argument of the query has a wrong value.
    pub(super) fn argument(name: &str, value: &str) -> Self {
        Self::bad("InvalidArgument", format!("invalid value \"{value}\" of \"{name}\""))
    }

    pub(super) fn unknown_version() -> Self {
        Self::new(404, "UnknownVersion", "unknown version")
    }

    pub(super) fn no_path() -> Self {
        Self::new(404, "PathNotFound", "path not found")
    }

    pub(super) fn method_disabled() -> Self {
        Self::new(405, "MethodDisabled", "method disabled")
    }

    pub(super) fn too_large() -> Self {
        let text = "request body exceeds \"client_body_buffer_size\"";
        Self::new(413, "RequestEntityTooLarge", text)
    }

    pub(super) fn unread() -> Self {
        Self::bad("BodyReadError", "reading request body failed")
    }

    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        Self::new(415, "JsonError", format!("JSON error: {error}"))
    }

    /// The body of the response. Earlier versions had two more fields, which are kept empty.
    pub(super) fn json(&self, request_id: &str, version: u8) -> Value {
        let Self { status, code, text } = self;
        let mut body = json!({
            "error": { "status": status, "text": text, "code": code },
            "request_id": request_id,
            "href": HREF,
        });
        if (1..4).contains(&version) {
            body["path"] = json!("");
            body["method"] = json!("");
        }
        body
    }
}
