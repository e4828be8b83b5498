//! The directives for which clients get compressed responses.
//! <https://nginx.org/en/docs/http/ngx_http_gzip_module.html>

use std::sync::Arc;

use weir_conf::{Cx, Fault, Inherit, Node, Slot, bitmask, directives, keywords};
use weir_script::Regex;

/// The conditions for compressed responses.
pub(crate) static GZIP: Slot<GzipClients> = Slot::new();

keywords! {
    /// The minimum HTTP version of requests for compressed responses.
    pub enum GzipVersion {
        /// 1.0.
        "1.0" => V10,
        /// 1.1.
        "1.1" => V11,
    }
}

bitmask! {
    /// The responses to proxied requests that are compressed.
    pub struct GzipProxied {
        /// None.
        "off" => OFF = 2,
        /// Those that have expired.
        "expired" => EXPIRED = 4,
        /// With `Cache-Control: no-cache`.
        "no-cache" => NO_CACHE = 8,
        /// With `Cache-Control: no-store`.
        "no-store" => NO_STORE = 16,
        /// With `Cache-Control: private`.
        "private" => PRIVATE = 32,
        /// Without `Last-Modified`.
        "no_last_modified" => NO_LAST_MODIFIED = 64,
        /// Without `ETag`.
        "no_etag" => NO_ETAG = 128,
        /// To requests with `Authorization`.
        "auth" => AUTH = 256,
        /// All.
        "any" => ANY = 512,
    }
}

directives! {
    /// The conditions for compressed responses.
    pub struct GzipClients as GzipWritten in [http, server, location] {
        /// Adds `Vary: Accept-Encoding` to responses that depend on it.
        "gzip_vary" => vary: bool = false,
        /// The minimum HTTP version of requests for compressed responses.
        "gzip_http_version" => http_version: GzipVersion = GzipVersion::V11,
        /// The responses to proxied requests that are compressed.
        "gzip_proxied" => proxied: GzipProxied = GzipProxied::OFF,
        /// Browsers that get no compressed responses: regular expressions for `User-Agent`.
        "gzip_disable" [1+]: "msie6 | regex ..." => add_disabled,
        field disabled: Inherit<Vec<Arc<Regex>>>,
        field disabled_msie6: Inherit<bool>,
    }
}

fn add_disabled(own: &mut GzipWritten, node: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    for word in &node.args {
        if word.is("msie6") {
            own.disabled_msie6 = Some(true);
            continue;
        }
        let regex = Regex::shared(&word.value, true)?;
        own.disabled.get_or_insert_default().push(Arc::new(regex));
    }
    Ok(())
}
