//! The project's chores: `cargo xtask` with one of `test`, `compare`, `release`, `install`, `package`,
//! `bench`, `balancing`, `instructions`, `nginx-tests`, `cache-tests`, `h2spec`, `docs`, `fuzz`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "chores print their results")]

mod attacks;
mod bench;
mod cache_tests;
mod cargo;
mod compare;
mod docs;
mod fuzz;
mod h2spec;
mod install;
mod instructions;
mod nginx_tests;
mod package;
mod packages;
mod release;
mod scratch;
mod server;
mod test;

use std::process::ExitCode;

/// The error of a chore: one sentence for its user.
type Failure = String;

const USAGE: &str = "\
usage: cargo xtask CHORE

  test [--release] [NAME]   everything that must pass before a change lands; with NAME, only the
                            end-to-end tests whose names hold it
  compare [--part] [WORD]..  the same requests through nginx and Weir, and what differs; with WORDs, only
                            of cases whose names hold one; --part leaves out what takes its time;
                            --generated N [--seed N]: only generated cases;
                            --h2: over HTTP/2, as far as it has words for them
  release                   the server as it is shipped: built for what it was seen doing under load
  install [--layout=packages|debian|source] [--like=NGINX] [--quick] [--prefix=DIR] ..
                            builds the server for the places that nginx's `configure` would be
                            told, or those of an installed nginx, and installs it below DESTDIR;
                            --quick leaves the training out
  package [--profile=FILE|--quick|--debug|--binary=PROGRAM] [--into=DIR]
                            the Debian packages weir and weir-dbgsym, in target/debian, and the
                            profile of the training, with which --profile builds them again;
                            --twice builds the last commit in two folders and compares the bytes;
                            --check[=WORD] runs the cases of packaging/checks (or those whose names
                            hold WORD) with them, each on a fresh Debian of its own; --acme.sh=DIR
                            is a checkout of acmesh-official/acme.sh for one of them
  bench [ROUNDS] [WORKLOAD]..  Weir against nginx, HAProxy and Pingora: CPU, throughput, latency,
                            memory; --list names the workloads, --quick is for trying out,
                            --save appends the table to bench/RESULTS.md
  bench picks               the cost of a server's choice by method, in groups of 3 and 1,000
  bench dashboard           what ten viewers of the dashboard cost, with 10,000 servers
  bench attacks [WORD]..    attacks on HTTP/2: what ends them, and what they cost both sides
  balancing                 the simulation of balancing: docs/balancing.md's tables and plots anew
  instructions [--record]   fails if a request takes more instructions than is on record
  nginx-tests DIR [TEST]..  the nginx project's own tests, from a checkout in DIR
  cache-tests DIR [default|rfc9111].. [--nginx=PROGRAM] [--record]
                            the public tests of HTTP caches, from a checkout of
                            http-tests/cache-tests in DIR with its packages installed, and what
                            differs from tests/cache-tests/*.txt, which --record writes anew
  h2spec DIR [CASE]..       the public tests of HTTP/2, from a checkout of summerwind/h2spec in DIR,
                            in cleartext and by TLS; CASEs as `http2/5.1` or `hpack`
  docs [reference]          writes docs/reference anew, and builds a site of all pages in target/site
  fuzz [TARGET] [SECONDS]   one fuzz target for 10 s or as told, or all for 200 s";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.split_first() {
        Some((&"test", rest)) => test::run(rest),
        Some((&"compare", rest)) => compare::run(rest),
        Some((&"release", [])) => release::run(),
        Some((&"install", rest)) => install::run(rest),
        Some((&"package", rest)) => package::run(rest),
        Some((&"bench", ["attacks", rest @ ..])) => attacks::run(rest),
        Some((&"bench", rest)) => bench::run(rest),
        Some((&"balancing", [])) => balancing(),
        Some((&"instructions", rest)) => instructions::run(rest),
        Some((&"nginx-tests", rest)) => nginx_tests::run(rest),
        Some((&"cache-tests", rest)) => cache_tests::run(rest),
        Some((&"h2spec", rest)) => h2spec::run(rest),
        Some((&"docs", [])) => docs::site(),
        Some((&"docs", ["reference"])) => docs::reference(),
        Some((&"fuzz", rest)) => fuzz::run(rest),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Has the simulation of balancing write the figures of its page.
fn balancing() -> Result<(), Failure> {
    let test = ["test", "--quiet", "--package", "weir-upstream", "--test", "balancing", "--"];
    let only = ["--ignored", "writes_the_documentation"];
    let mut command = cargo::cargo(&[&test[..], &only[..]].concat());
    cargo::succeed(command.env("WEIR_BALANCING_DOCS", cargo::root().join("docs")))
}
