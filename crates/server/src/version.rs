//! `-v`, `-V` and `-h`.

use weir_conf::Layout;

use crate::cli::Options;
use crate::features;

/// The program's name and version.
pub(crate) const WEIR: &str = concat!("weir/", env!("CARGO_PKG_VERSION"));

/// The nginx version whose behaviour Weir follows. Scripts and nginx's test suite compare it.
pub(crate) const NGINX: &str = "nginx/1.31.5";

/// The text for standard error. Under the name nginx, nginx's line comes first, and alone with
/// `-v`, because scripts read it.
pub(crate) fn text(program: &str, options: &Options) -> String {
    let (weir, nginx) = (format!("weir version: {WEIR}\n"), format!("nginx version: {NGINX}\n"));
    let mut text = match program {
        "nginx" if options.configure || options.help => nginx + &weir,
        "nginx" => nginx,
        _ => weir + &nginx,
    };
    if options.help {
        text.push_str(&help(program));
    }
    if options.configure {
        text.push_str("built with OpenSSL 3.0 names and settings, mapped onto rustls 0.23\n");
        text.push_str("TLS SNI support enabled\n");
        text.push_str("configure arguments:");
        text.push_str(&Layout::built().configure_arguments());
        text.push_str(&features::configure_arguments());
        text.push('\n');
    }
    text
}

fn help(program: &str) -> String {
    let indent = " ".repeat("Usage: ".len() + program.len() + 1);
    let layout = Layout::built();
    format!(
        "Usage: {program} [-?hvVtTq] [-s signal] [-p prefix]
{indent}[-e filename] [-c filename] [-g directives]
       {program} demo

Options:
  -?,-h,--help  : this help
  -v,--version  : show version and exit
  -V            : show version and configure options then exit
  -t            : test configuration and exit
  -T            : test configuration, dump it and exit
  -q            : suppress non-error messages during configuration testing
  -s signal     : send signal to a master process: stop, quit, reopen, reload
  -p prefix     : set prefix path (default: {prefix})
  -e filename   : set error log file (default: {error_log})
  -c filename   : set configuration file (default: {conf})
  -g directives : set global directives out of configuration file

  demo          : show two small web servers behind {program}, without touching any file

",
        prefix = format_args!("{}/", layout.prefix),
        error_log = layout.error_log_path,
        conf = layout.conf_path,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_name_in_use_is_first() {
        let options = Options { version: true, ..Options::default() };
        assert!(text("weir", &options).starts_with("weir version: weir/"));
        assert_eq!(text("nginx", &options), format!("nginx version: {NGINX}\n"));
    }

    /// Programs that look for nginx's files read the paths there.
    #[test]
    fn paths_are_shown() {
        let options = Options { version: true, configure: true, ..Options::default() };
        let text = text("nginx", &options);
        let conf = Layout::built().conf_path;
        assert!(
            text.contains(&format!("configure arguments: --prefix={}", Layout::built().prefix))
        );
        assert!(text.contains(&format!("{conf} --error-log-path=")), "{text}");
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
