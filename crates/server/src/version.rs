//! `-v`, `-V` and `-h`.

use crate::cli::Options;
use crate::features;
use crate::paths;

/// What this program calls itself.
pub(crate) const WEIR: &str = concat!("weir/", env!("CARGO_PKG_VERSION"));

/// The nginx whose behaviour Weir follows. Scripts compare it, and so does nginx's own test suite.
pub(crate) const NGINX: &str = "nginx/1.31.5";

/// The text for standard error. Under the name nginx, nginx's line is the first one, because that
/// is the one that scripts read.
pub(crate) fn text(program: &str, options: &Options) -> String {
    let (weir, nginx) = (format!("weir version: {WEIR}\n"), format!("nginx version: {NGINX}\n"));
    let mut text = if program == "nginx" { nginx + &weir } else { weir + &nginx };
    if options.help {
        text.push_str(&help(program));
    }
    if options.configure {
        text.push_str("built with OpenSSL 3.0 names and settings, mapped onto rustls 0.23\n");
        text.push_str("TLS SNI support enabled\n");
        text.push_str("configure arguments:");
        text.push_str(&features::configure_arguments());
        text.push('\n');
    }
    text
}

fn help(program: &str) -> String {
    let indent = " ".repeat("Usage: ".len() + program.len() + 1);
    format!(
        "Usage: {program} [-?hvVtTq] [-s signal] [-p prefix]
{indent}[-e filename] [-c filename] [-g directives]

Options:
  -?,-h         : this help
  -v            : show version and exit
  -V            : show version and configure options then exit
  -t            : test configuration and exit
  -T            : test configuration, dump it and exit
  -q            : suppress non-error messages during configuration testing
  -s signal     : send signal to a master process: stop, quit, reopen, reload
  -p prefix     : set prefix path (default: {prefix})
  -e filename   : set error log file (default: {error_log})
  -c filename   : set configuration file (default: {conf})
  -g directives : set global directives out of configuration file

",
        prefix = paths::PREFIX,
        error_log = paths::ERROR_LOG,
        conf = paths::CONF,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_name_in_use_comes_first() {
        let options = Options { version: true, ..Options::default() };
        assert!(text("weir", &options).starts_with("weir version: weir/"));
        assert!(text("nginx", &options).starts_with("nginx version: nginx/1."));
    }

    /// Any of these words makes nginx's test suite expect that library's behaviour.
    #[test]
    fn no_other_tls_library_is_named() {
        let options = Options { version: true, configure: true, ..Options::default() };
        let text = text("weir", &options);
        assert!(["BoringSSL", "AWS-LC", "LibreSSL"].iter().all(|word| !text.contains(word)));
        assert!(text.contains("with OpenSSL 3.0"));
    }
}
