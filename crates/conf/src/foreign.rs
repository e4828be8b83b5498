//! Modules whose directives others know: what to say of those that this program lacks.

/// A module that is lacking.
#[derive(Clone, Copy, Debug)]
pub struct Foreign {
    /// Its name, for messages.
    pub name: &'static str,
    /// The file names that `load_module` gives it, without folder and `.so`.
    pub files: &'static [&'static str],
    /// The names of its directives. A `*` stands for any text, at the end, at the start, or both.
    pub directives: &'static [&'static str],
    /// What to use instead, for the end of a message.
    pub instead: &'static str,
}

/// The lacking modules that are known by name: a registry that is filled before an assembly.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForeignModules(pub &'static [Foreign]);

impl ForeignModules {
    /// The module with this directive.
    pub fn with_directive(&self, name: &str) -> Option<&'static Foreign> {
        let has = |module: &&Foreign| module.directives.iter().any(|known| fits(known, name));
        self.0.iter().find(has)
    }

    /// The module in this file, without folder and `.so`.
    pub fn in_file(&self, name: &str) -> Option<&'static Foreign> {
        self.0.iter().find(|module| module.files.contains(&name))
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && {
                // A pattern such as `*_by_lua*` has two of them.
                match end.strip_suffix('*') {
                    Some(middle) => name[start.len()..].contains(middle),
                    None => name.ends_with(end),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns() {
        for (pattern, name, is) in [
            ("perl", "perl", true),
            ("perl", "perl_set", false),
            ("js_*", "js_import", true),
            ("js_*", "js_", true),
            ("js_*", "js", false),
            ("*_by_lua*", "content_by_lua_block", true),
            ("*_by_lua*", "init_by_lua", true),
            ("*_by_lua*", "lua_package_path", false),
            ("*_purge", "proxy_cache_purge", true),
        ] {
            assert_eq!(fits(pattern, name), is, "{pattern} {name}");
        }
    }
}
