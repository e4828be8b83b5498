//! PHP's process manager, if it is installed.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{Directory, Signal, send_signal, until_some};

/// The process manager with its scripts, on a socket in a folder of its own. It ends on drop.
pub(crate) struct Php {
    process: Child,
    program: PathBuf,
    /// The folder: the socket is `socket`.
    pub(crate) directory: Directory,
}

impl Php {
    /// Starts PHP with these scripts; None without PHP.
    pub(crate) fn start(scripts: &[(&str, &str)]) -> Option<Self> {
        let program = std::fs::read_dir("/usr/sbin").ok()?.flatten().map(|entry| entry.path());
        let program =
            program.into_iter().find(|path| path.to_string_lossy().contains("php-fpm"))?;
        let directory = Directory::new();
        for (name, text) in scripts {
            directory.write(name, text);
        }
        let path = directory.path().display();
        let conf = format!(
            "[global]\nerror_log = {path}/fpm.log\ndaemonize = no\n[www]\nlisten = {path}/socket\n\
             listen.mode = 0777\nuser = nobody\ngroup = nogroup\npm = static\npm.max_children = 2\n\
             php_admin_value[upload_tmp_dir] = /tmp\nphp_admin_value[upload_max_filesize] = 100M\n\
             php_admin_value[post_max_size] = 100M\nphp_admin_flag[log_errors] = on\n\
             php_admin_flag[display_errors] = off\n"
        );
        directory.write("fpm.conf", conf);
        let process = run(&program, &directory);
        Some(Self { process, program, directory })
    }

    /// The process ids of the workers.
    pub(crate) fn workers(&self) -> Vec<u32> {
        super::children(self.process.id())
    }

    /// Ends PHP at once, whatever it is doing.
    pub(crate) fn kill(&mut self) {
        let workers = self.workers();
        let _ = self.process.kill();
        let _ = self.process.wait();
        for worker in workers {
            // It may have ended with its master.
            if let Some(pid) = rustix::process::Pid::from_raw(worker as i32) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Starts PHP again after [`Self::kill`].
    pub(crate) fn revive(&mut self) {
        let _ = std::fs::remove_file(self.directory.join("socket"));
        self.process = run(&self.program, &self.directory);
    }
}

fn run(program: &PathBuf, directory: &Directory) -> Child {
    let process = Command::new(program)
        .args(["-F", "-n", "-y"])
        .arg(directory.join("fpm.conf"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until_some("PHP", || UnixStream::connect(directory.join("socket")).ok());
    process
}

impl Drop for Php {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            // Its children end with it.
            send_signal(self.process.id(), Signal::TERM);
        }
        let _ = self.process.wait();
    }
}
