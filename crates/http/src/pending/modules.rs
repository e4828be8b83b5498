//! Modules of http other than filters and upstreams.

use weir_conf::value::Size;
use weir_conf::{Slot, bitmask, directives, pending};

use crate::core::value::Rights;

pub(super) static DAV: Slot<Dav> = Slot::new();
pub(super) static MP4: Slot<Mp4> = Slot::new();

bitmask! {
    /// The methods of WebDAV that modify files.
    pub(super) struct DavMethods {
        "off" => OFF = 1,
        "put" => PUT = 2,
        "delete" => DELETE = 4,
        "mkcol" => MKCOL = 8,
        "copy" => COPY = 16,
        "move" => MOVE = 32,
    }
}

directives! {
    /// Modification of files by WebDAV.
    pub(super) struct Dav in [http, server, location] {
        "dav_methods" => methods: DavMethods,
        "create_full_put_path" => create_full_put_path: bool = false,
        "min_delete_depth" => min_delete_depth: u64,
        "dav_access" => access: Rights = Rights::OURS,
    }
}

directives! {
    /// Pseudo-streaming of MP4 files.
    pub(super) struct Mp4 in [http, server, location] {
        "mp4_buffer_size" => buffer_size: Size,
        "mp4_max_buffer_size" => max_buffer_size: Size,
        "mp4_start_key_frame" => start_key_frame: bool = false,
        // The only directive of the slice module.
        "slice" => slice: Size,
    }
}

pending! {
    /// Handlers, variables, limits and logs.
    pub static MODULES = {
        // degradation
        "degradation" in [http] [1];
        "degrade" in [http, server, location] [1];
        // geoip
        "geoip_country" in [http] [1, 2];
        "geoip_org" in [http] [1, 2];
        "geoip_city" in [http] [1, 2];
        "geoip_proxy" in [http] [1];
        "geoip_proxy_recursive" in [http] [1];
        // perl
        "perl_modules" in [http] [1];
        "perl_require" in [http] [1];
        "perl_set" in [http] [2];
    }
}
