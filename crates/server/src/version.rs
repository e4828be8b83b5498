//! The texts of `-v` and `-V`.

use weir_conf::Layout;

use crate::cli::{self, Options};
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
        text.push_str(&cli::help(program));
    }
    if options.configure {
        text.push_str(&format!("built by rustc {}\n", compiler()));
        text.push_str("built with OpenSSL 3.0 names and settings, mapped onto rustls 0.23\n");
        text.push_str("TLS SNI support enabled\n");
        text.push_str("configure arguments:");
        text.push_str(&Layout::built().configure_arguments());
        text.push_str(&features::configure_arguments());
        text.push('\n');
    }
    text
}

/// The version of the compiler, as the repository names it.
fn compiler() -> &'static str {
    const TOOLCHAIN: &str = include_str!("../../../rust-toolchain.toml");
    let channel = TOOLCHAIN.lines().find_map(|line| line.strip_prefix("channel = \""));
    channel.and_then(|channel| channel.strip_suffix('"')).unwrap_or_default()
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

    /// The lines of nginx, in its order: programs also count them.
    #[test]
    fn the_lines_are_those_of_nginx() {
        let options = Options { version: true, configure: true, ..Options::default() };
        let text = text("nginx", &options);
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("weir ")).collect();
        let starts = [
            "nginx version: nginx/1.",
            "built by rustc 1.",
            "built with OpenSSL 3.",
            "TLS SNI support enabled",
            "configure arguments: --prefix=/",
        ];
        assert_eq!(lines.len(), starts.len(), "{text}");
        assert!(lines.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{text}");
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
