//! Modules of http other than filters and upstreams.

use weir_conf::value::Size;
use weir_conf::{Slot, directives, pending};

pub(super) static MP4: Slot<Mp4> = Slot::new();

directives! {
    /// Pseudo-streaming of MP4 files.
    pub(super) struct Mp4 in [http, server, location] {
        "mp4_buffer_size" => buffer_size: Size,
        "mp4_max_buffer_size" => max_buffer_size: Size,
        "mp4_start_key_frame" => start_key_frame: bool = false,
    }
}

pending! {
    /// Handlers, variables, limits and logs.
    pub static MODULES = {
        // degradation
        "degradation" in [http] [1];
        "degrade" in [http, server, location] [1];
    }
}
