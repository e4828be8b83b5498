//! scratch
#![allow(missing_docs)]
use std::io;
use std::net::IpAddr;
use std::path::*;
use std::sync::Arc;
use weir_conf::*;
struct Os;
impl Environment for Os {
    fn read(&self, path: &Path) -> io::Result<Arc<[u8]>> {
        Ok(std::fs::read(path)?.into())
    }
    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let out = std::process::Command::new("python3")
            .args([
                "-c",
                "import glob,sys\nfor x in sorted(glob.glob(sys.argv[1])): print(x)",
                pattern,
            ])
            .output()?;
        Ok(String::from_utf8_lossy(&out.stdout).lines().map(Into::into).collect())
    }
    fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![])
    }
    fn open_log(&self, _: &Path) -> io::Result<LogFile> {
        Ok(LogFile(0))
    }
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn user(&self, _: &str) -> Option<(u32, u32)> {
        None
    }
    fn group(&self, _: &str) -> Option<u32> {
        None
    }
}
static B: Slot<Blocks> = Slot::new();
directives! {
    pub struct Blocks as W in [http, server, location] {
        "events" in [main] opens events [0]: "",
        "http" in [main] opens http [0]: "",
        "stream" in [main] opens stream [0]: "",
        "mail" in [main] opens mail [0]: "",
        "server" in [http] opens server [0]: "",
        "server" in [stream] opens stream_server [0]: "",
        "server" in [mail] opens mail_server [0]: "",
        "upstream" in [http] opens upstream [1]: "",
        "upstream" in [stream] opens stream_upstream [1]: "",
        "location" in [server, location] opens location [1, 2]: "",
        "if" in [server] opens server_if [1+]: "",
        "if" in [location] opens location_if [1+]: "",
        "limit_except" in [location] opens limit_except [1+]: "",
        "types" block [0]: "" => raw,
        "map" in [http, stream] block [2]: "" => raw,
        "geo" in [http, stream] block [1, 2]: "" => raw,
        "split_clients" in [http, stream] block [2]: "" => raw,
        "charset_map" in [http] block [2]: "" => raw,
    }
}
fn raw(_: &mut W, node: &Node, cx: &mut Cx<'_>) -> Result<(), Fault> {
    for row in node.block.iter().flatten() {
        cx.row(row);
    }
    cx.rows_done(node);
    Ok(())
}
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let pretty = std::env::var_os("PRETTY").is_some();
    let prefix = PathBuf::from(&args[1]);
    let start = std::time::Instant::now();
    const TABLES: &[&Table] = &[&Blocks::table(&B), &pending::NGINX];
    let got =
        assemble(TABLES, &prefix.join("nginx.conf"), &prefix, args.get(2).map(|s| s.as_str()), &Os);
    let took = start.elapsed();
    for d in &got.diagnostics {
        if d.severity.is_fatal() {
            println!("{}", d.one_line(&got.sources));
            if pretty {
                print!("{}", d.pretty(&got.sources, false).unwrap_or_default());
            }
        }
    }
    eprintln!("{:?}", took);
    std::process::exit(if got.ok() { 0 } else { 1 });
}
