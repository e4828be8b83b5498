//! The main context: the process, its user and its limits.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use weir_conf::value::{Msec, Offset};
use weir_conf::{Arity, Cx, Fault, Many, Node, Slot, Table, Value, directives, keywords};
use weir_engine::event_loop::Method;
use weir_engine::thread_pool::directive::ThreadPools;
use weir_sys::file::Links;
use weir_sys::{process, user};

use crate::features;
use crate::foreign;
use crate::modules::events::BLOCK;

pub(crate) static CORE: Slot<Core> = Slot::new();
pub(crate) const TABLE: Table = Core::table(&CORE);

directives! {
    /// The process.
    pub(crate) struct Core as CoreWritten in [main] {
        /// Whether the server runs in the background.
        "daemon" => daemon: bool = true,
        /// Whether a worker process is started; without one, the master serves. For development.
        "master_process" => master_process: bool = true,
        /// The resolution of the clock. Has no effect: reading the clock is cheap.
        "timer_resolution" => timer_resolution: Option<TimerResolution>,
        /// The file with the master's process ID.
        "pid" => pid: Option<String>,
        /// The prefix of lock files. Has no effect, as in nginx on systems with atomic operations.
        "lock_file" => lock_file: Option<String>,
        /// The number of threads of the worker process; `auto` is one for each processor
        /// that the process may use, by its affinity and the quota of its control group.
        "worker_processes" => workers: Workers = Workers(1),
        /// The action on an internal error: stop, or write a core file. Has no effect.
        "debug_points" => debug_points: Option<DebugPoints>,
        /// The user and group of the worker process.
        "user" => user: RunAs = RunAs(None),
        /// The priority of the worker process, as of `nice`.
        "worker_priority" => priority: Priority = Priority(0),
        /// The processors that each thread is bound to, as bit masks.
        "worker_cpu_affinity" => affinity: Affinity = Affinity::Free,
        /// The maximum number of open files and sockets of the worker process.
        "worker_rlimit_nofile" => open_files: Option<u64>,
        /// The maximum size of a core file of the worker process.
        "worker_rlimit_core" => core_size: Option<Offset>,
        /// The time limit of a graceful shutdown; remaining connections are then closed.
        "worker_shutdown_timeout" => shutdown_timeout: Option<Msec>,
        /// The working directory of the worker process, where core files are written.
        "working_directory" => working_directory: Option<String>,
        /// An environment variable that the worker process keeps, or one that is set.
        "env" => env: Many<String>,
        /// Compiles regular expressions to machine code. Has no effect: they are compiled to
        /// automata.
        "pcre_jit" => pcre_jit: PcreJit = PcreJit(false),
        /// The hardware accelerator for TLS. None is supported.
        "ssl_engine" [1]: "device" => set_ssl_engine,
        /// Whether unchanged certificates are kept over a reload. Has no effect: they are read
        /// again.
        "ssl_object_cache_inheritable" => inheritable: CacheInheritable = CacheInheritable(false),
        /// Loads a module of nginx. Weir's modules are built in; others cannot be loaded.
        "load_module" [1]: "file" => load_module,
        /// Defines a pool of threads that read and write files for the event loops (`aio`). While
        /// all are busy, up to `max_queue` tasks wait; a further one fails.
        "thread_pool" [2, 3]: "name threads=number [max_queue=number]" => set_thread_pool,
    }
    finish = Core::finish;
}

impl Core {
    fn finish(&mut self, _: Option<&Self>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        if let Affinity::Masks(masks) = &self.affinity
            && masks.len() > 1
            && masks.len() != self.workers.0
        {
            cx.warn(
                "the number of \"worker_processes\" is not equal to the number of \
                     \"worker_cpu_affinity\" masks, using last mask for remaining worker processes",
            );
        }
        Ok(())
    }
}

/// A number by the rules of nginx's `ngx_atoi`: digits only, within the signed type.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    let text =
        std::str::from_utf8(digits).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse::<i64>().ok().map(i64::cast_unsigned)
}

/// The number of threads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workers(pub(crate) usize);

impl Value for Workers {
    const SYNTAX: &'static str = "number | auto";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let word = &node.args[0];
        if word.is("auto") {
            return Ok(Self(process::usable_processors()));
        }
        let number = number(&word.value).and_then(|n| usize::try_from(n).ok());
        number.map(Self).ok_or_else(|| Fault::bad_value().at(word))
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// The clock's resolution; a given value causes a warning.
#[derive(Debug, Clone)]
pub(crate) struct TimerResolution;

impl Value for TimerResolution {
    const SYNTAX: &'static str = "interval";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        Msec::parse(node, cx)?;
        cx.no_effect("\"timer_resolution\" has no effect");
        Ok(Self)
    }
}

/// A switch without effect that causes a warning when on.
macro_rules! idle_switch {
    ($(#[doc = $doc:literal])* $name:ident, $text:literal) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name(bool);

        impl Value for $name {
            const SYNTAX: &'static str = "on | off";
            const ARITY: Arity = Arity::ONE;

            fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
                let on = bool::parse(node, cx)?;
                if on {
                    cx.no_effect(format!("\"{}\" has no effect, {}", node.text(), $text));
                }
                Ok(Self(on))
            }

            fn show(&self) -> Option<String> {
                self.0.show()
            }
        }
    };
}
pub(crate) use idle_switch;

idle_switch! {
    /// `pcre_jit`
    PcreJit, "regular expressions are compiled to automata"
}

idle_switch! {
    /// `ssl_object_cache_inheritable`
    CacheInheritable, "certificates are read again at every reload"
}

fn set_ssl_engine(_: &mut CoreWritten, _: &Node, _: &mut Cx<'_>) -> Result<(), Fault> {
    Err(Fault::directive("is not supported"))
}

keywords! {
    /// The action on an internal error.
    pub(crate) enum DebugAction {
        "stop" => Stop,
        "abort" => Abort,
    }
}

/// An action on internal errors; a given value causes a warning.
#[derive(Debug, Clone)]
pub(crate) struct DebugPoints;

impl Value for DebugPoints {
    const SYNTAX: &'static str = "abort | stop";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        DebugAction::parse(node, cx)?;
        cx.no_effect("\"debug_points\" has no effect");
        Ok(Self)
    }
}

/// A user and a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The `user` directive; `None` if it is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunAs(pub(crate) Option<User>);

impl Value for RunAs {
    const SYNTAX: &'static str = "user [group]";
    const ARITY: Arity = Arity::exactly(1).or(Arity::exactly(2));

    fn parse(node: &Node, cx: &mut Cx<'_>) -> Result<Self, Fault> {
        if !user::is_root() {
            cx.warn(
                "the \"user\" directive makes sense only if the master process runs with \
                 super-user privileges, ignored",
            );
            return Ok(Self(None));
        }
        let name = node.args[0].text().into_owned();
        let group = node.args.last().map(|word| word.text().into_owned()).unwrap_or_default();
        let (uid, _) = cx
            .env()
            .user(&name)
            .ok_or_else(|| Fault::new(format!("getpwnam(\"{name}\") failed")).at(&node.args[0]))?;
        let gid = cx
            .env()
            .group(&group)
            .ok_or_else(|| Fault::new(format!("getgrnam(\"{group}\") failed")))?;
        Ok(Self(Some(User { name, uid, gid })))
    }
}

/// A nice value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Priority(pub(crate) i32);

impl Value for Priority {
    const SYNTAX: &'static str = "number";
    const ARITY: Arity = Arity::ONE;

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        let (negative, digits) = match node.args[0].value.as_slice() {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        let number = number(digits).and_then(|n| i32::try_from(n).ok());
        let number = number.ok_or_else(|| Fault::directive("invalid number"))?;
        Ok(Self(if negative { -number } else { number }))
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// Processor numbers, from 0.
pub(crate) type Mask = Vec<usize>;

/// The binding of threads to processors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Affinity {
    /// No binding.
    Free,
    /// Each thread to the next of these processors.
    Auto(Mask),
    /// Each thread to its own mask, remaining ones to the last.
    Masks(Vec<Mask>),
}

/// nginx's `CPU_SETSIZE`.
const MAX_PROCESSORS: usize = 1024;

impl Affinity {
    /// The processors of a thread, numbered from 0; `None` for all.
    pub(crate) fn of(&self, thread: usize) -> Option<Mask> {
        match self {
            Self::Free => None,
            Self::Auto(mask) if mask.is_empty() => None,
            Self::Auto(mask) => Some(vec![mask[thread % mask.len()]]),
            Self::Masks(masks) => masks.get(thread).or(masks.last()).cloned(),
        }
    }
}

impl Value for Affinity {
    const SYNTAX: &'static str = "cpumask ... | auto [cpumask]";
    const ARITY: Arity = Arity::at_least(1);

    fn parse(node: &Node, _: &mut Cx<'_>) -> Result<Self, Fault> {
        if node.args[0].is("auto") {
            return match node.args.len() {
                1 => Ok(Self::Auto(own())),
                2 => Ok(Self::Auto(mask(&node.args[1].value)?)),
                _ => Err(Fault::bad_count(&node.name)),
            };
        }
        let masks = node.args.iter().map(|word| mask(&word.value));
        Ok(Self::Masks(masks.collect::<Result<_, _>>()?))
    }
}

/// The processors that the process may use. nginx takes all of the machine, and so leaves the CPU
/// set of its start (taskset(1)), or fails at that of its control group.
fn own() -> Mask {
    let mut processors = process::allowed_processors();
    processors.truncate(MAX_PROCESSORS);
    processors
}

/// The set bits of a mask; the last digit is processor 0.
fn mask(digits: &[u8]) -> Result<Mask, Fault> {
    if digits.len() > MAX_PROCESSORS {
        return Err(Fault::new(format!(
            "\"worker_cpu_affinity\" supports up to {MAX_PROCESSORS} CPUs only"
        )));
    }
    let mut mask = Mask::new();
    for (place, &digit) in digits.iter().rev().filter(|&&digit| digit != b' ').enumerate() {
        match digit {
            b'0' => {}
            b'1' => mask.push(place),
            other => {
                return Err(Fault::new(format!(
                    "invalid character \"{}\" in \"worker_cpu_affinity\"",
                    char::from(other)
                )));
            }
        }
    }
    Ok(mask)
}

fn load_module(_: &mut CoreWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    if cx.written(&BLOCK).present.is_some() {
        return Err(Fault::directive("is specified too late"));
    }
    let file = node.args[0].text();
    let name = file.rsplit('/').next().unwrap_or(&file).trim_end_matches(".so").to_owned();
    let lacks = format!("module \"{name}\" is not part of weir and cannot be loaded");
    if let Some(foreign) = foreign::MODULES.in_file(&name) {
        cx.warn(format!("{lacks}; instead of {}, {}", foreign.name, foreign.instead));
    } else if !features::is_known(&file) {
        cx.warn(format!("{lacks}, its directives are unknown"));
        cx.missing_module(name);
    }
    Ok(())
}

fn set_thread_pool(_: &mut CoreWritten, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    ThreadPools::define(node, cx)
}

/// The settings of master and worker, with defaults filled in.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) daemon: bool,
    pub(crate) master: bool,
    pub(crate) pid: PathBuf,
    pub(crate) user: Option<User>,
    pub(crate) threads: usize,
    pub(crate) priority: i32,
    pub(crate) affinity: Affinity,
    pub(crate) open_files: Option<u64>,
    pub(crate) core_size: Option<u64>,
    pub(crate) shutdown_timeout: Option<Duration>,
    pub(crate) working_directory: Option<PathBuf>,
    pub(crate) env: Vec<String>,
    /// The worker keeps the capability for raw sockets.
    pub(crate) raw_sockets: bool,
    /// The maximum number of connections per thread.
    pub(crate) connections: u64,
    pub(crate) multi_accept: bool,
    /// The event method.
    pub(crate) method: Method,
    /// What the worker has to show a guard; `None` without an `ha` block.
    pub(crate) shows: Option<Shows>,
}

/// What a worker shows the guard of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shows {
    /// The time after which a thread counts as stalled.
    pub(crate) stall: Duration,
    /// The upstreams that must have a healthy server.
    pub(crate) required: Vec<String>,
    /// The addresses that the nodes share.
    pub(crate) addresses: Vec<IpAddr>,
}

impl Process {
    /// The symbolic links that the master follows where the worker's user may have created them.
    pub(crate) fn links(&self) -> Links {
        Links::not_of(self.user.as_ref().filter(|_| user::is_root()).map(|user| user.uid))
    }

    /// Whether the worker may write core files.
    pub(crate) fn wants_core(&self) -> bool {
        self.core_size.is_some() || self.working_directory.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_count_from_the_right() {
        assert_eq!(mask(b"0101").unwrap(), [0, 2]);
        assert_eq!(mask(b"1000 0000").unwrap(), [7]);
        assert!(mask(b"012").is_err());
    }

    #[test]
    fn auto_stays_in_the_cpu_set_of_the_start() {
        let all = own();
        let last = *all.last().unwrap();
        let bound = std::thread::spawn(move || {
            process::set_affinity(&[last]).unwrap();
            own()
        });
        assert_eq!(bound.join().unwrap(), [last]);
        assert_eq!(own(), all);
    }

    #[test]
    fn threads_take_their_mask_or_the_last() {
        let masks = Affinity::Masks(vec![vec![0], vec![1]]);
        assert_eq!(masks.of(0), Some(vec![0]));
        assert_eq!(masks.of(5), Some(vec![1]));
        assert_eq!(Affinity::Auto(vec![2, 3]).of(3), Some(vec![3]));
        assert_eq!(Affinity::Free.of(0), None);
    }

    #[test]
    fn numbers_are_digits() {
        assert_eq!(number(b"12"), Some(12));
        assert_eq!(number(b"+1"), None);
        assert_eq!(number(b""), None);
        assert_eq!(number(b"9223372036854775808"), None);
    }
}
