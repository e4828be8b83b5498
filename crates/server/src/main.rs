//! Weir: a reverse proxy and load balancer that reads `nginx.conf`.
#![forbid(unsafe_code)]

mod adopt;
mod assemble;
mod bundle;
mod caretaker;
mod channel;
mod children;
mod cli;
mod console;
mod cycle;
mod demo;
mod entrypoint;
mod environment;
mod features;
mod fitness;
mod foreign;
mod generation;
mod guarding;
mod ha_command;
mod identity;
mod linking;
mod load_error;
mod manual;
mod master;
mod mirroring;
mod modules;
mod notify;
mod open_files;
mod outbox;
mod pair_command;
mod pair_figures;
mod paths;
mod pid_file;
mod privileges;
mod reference;
mod reload;
mod reloads;
mod reopen;
mod serve;
mod signals;
mod single;
mod sockets;
mod start;
mod stranded;
mod threads;
mod top;
mod upgrade;
#[cfg(test)]
mod verdicts;
mod version;
mod worker;

#[global_allocator]
static ALLOCATOR: weir_sys::allocator::Mimalloc = weir_sys::allocator::Mimalloc;

fn main() {
    weir_sys::allocator::use_small_pages();
    std::process::exit(start::run());
}
