//! The cache of open files.
//! <https://nginx.org/en/docs/http/ngx_http_core_module.html#open_file_cache>

use std::time::Duration;

use weir_conf::value::{Sec, parse_number, parse_sec};
use weir_conf::{Arity, Cx, Fault, Node, Slot, Value, directives};

/// The cache of open files.
pub(crate) static OPEN_FILES: Slot<OpenFiles> = Slot::new();

directives! {
    /// The cache of open files.
    pub struct OpenFiles in [http, server, location] {
        /// The maximum number of open files, and the time without use after which one is closed.
        "open_file_cache" => cache: OpenFileCache,
        /// The time after which a cached file is checked for changes.
        "open_file_cache_valid" => valid: Sec = Sec::seconds(60),
        /// The minimum number of uses for a file to stay open.
        "open_file_cache_min_uses" => min_uses: u32 = 1,
        /// Caches errors, such as missing files, too.
        "open_file_cache_errors" => errors: bool = false,
        /// Watches files for changes. Has no effect: Linux lacks kqueue.
        "open_file_cache_events" => events: bool = false,
    }
}

/// `open_file_cache`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OpenFileCache {
    /// No cache.
    #[default]
    Off,
    /// A cache.
    On {
        /// The maximum number of files.
        max: u64,
        /// The time without use after which a file is closed.
        inactive: Duration,
    },
}

impl Value for OpenFileCache {
    const SYNTAX: &'static str = "off | max=N [inactive=time]";
    const ARITY: Arity = Arity::exactly(1).or(Arity::exactly(2));

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let (mut off, mut max, mut inactive) = (false, 0, Duration::from_secs(60));
        for word in &node.args {
            let wrong = || {
                let text = word.text();
                Fault::new(format!("invalid \"open_file_cache\" parameter \"{text}\"")).at(word)
            };
            if let Some(number) = word.after("max=") {
                max = parse_number(number).filter(|&number| number > 0).ok_or_else(wrong)?;
            } else if let Some(time) = word.after("inactive=") {
                inactive = parse_sec(time).ok_or_else(wrong)?;
            } else if word.is("off") {
                off = true;
            } else {
                return Err(wrong());
            }
        }
        match (off, max) {
            (true, _) => Ok(Self::Off),
            (false, 0) => Err("\"open_file_cache\" must have the \"max\" parameter".into()),
            (false, max) => Ok(Self::On { max, inactive }),
        }
    }

    fn show(&self) -> Option<String> {
        (*self == Self::Off).then(|| "off".to_owned())
    }
}
